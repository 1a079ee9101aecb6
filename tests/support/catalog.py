"""A database built from what the code declares, and two databases compared down to the last privilege."""

import re
import subprocess
from difflib import unified_diff
from pathlib import Path
from urllib.parse import urlencode

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable, SetTableComment

from all_in_one.embedded_postgres import Connection, find_binaries
from command_api import tables as write_side
from projector.generations.lifecycle import create_generation_sql
from shared.event_store import log as event_store
from shared.read_models import bookkeeping
from shared.runtime.database import OwnConnection, Role
from tests.support.processes import ROOT

FUNCTIONS = ROOT / "shared" / "event_store" / "functions"
GRANTS = ROOT / "alembic" / "grants.sql"
ALEMBIC = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))
ALEMBIC.primary_key.name = "alembic_version_pkc"
NOISE = re.compile(r"^(--.*|\\(un)?restrict .*|)$")
"""Comments of pg_dump, empty lines, and the key that every run makes up."""


async def build_as_declared(connection: OwnConnection) -> None:
    """Fill an empty database from the metadata, the `.sql` files and the grants; the roles have to be there."""
    await connection.execute(f"CREATE SCHEMA {write_side.SCHEMA}")
    for table in (ALEMBIC, *(t for m in (event_store, write_side, bookkeeping) for t in m.metadata.sorted_tables)):
        for statement in _table(table):
            await connection.execute(statement)
    # A trigger comes after its function.
    for function in sorted(FUNCTIONS.glob("*.sql"), key=lambda path: "CREATE TRIGGER" in path.read_text()):
        await connection.execute(function.read_text())
    await connection.execute(GRANTS.read_text())
    await connection.execute(f"SET ROLE {Role.PROJECTOR}")
    for statement in create_generation_sql(1):
        await connection.execute(statement)
    await connection.execute("RESET ROLE")


def _table(table: sa.Table) -> list[str]:
    statements: list[sa.schema.ExecutableDDLElement] = [CreateTable(table)]
    statements += [SetTableComment(table)] if table.comment else []
    statements += [CreateIndex(index) for index in sorted(table.indexes, key=lambda index: str(index.name))]
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return [str(statement.compile(dialect=dialect)) for statement in statements]


def schema_of(server: Connection, database: str) -> list[str]:
    """Return all of a database but its rows, as `pg_dump` writes it down: owners, privileges and comments too."""
    pg_dump = find_binaries()[0] / "pg_dump"
    where = f"postgresql:///{database}?{urlencode({'host': server.host, 'port': server.port, 'user': server.user})}"
    said = subprocess.run(
        [pg_dump, "--schema-only", "--create", where],
        env={"PGPASSWORD": server.password},
        cwd=Path("/"),
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return [line for line in said.replace(database, "DATABASE").splitlines() if not NOISE.match(line)]


def difference(built: list[str], declared: list[str]) -> str:
    """Return what two of these differ in, empty if in nothing."""
    return "\n".join(unified_diff(declared, built, "declared", "migrated", lineterm="", n=2))
