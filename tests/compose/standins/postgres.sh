# Makes the database on the first start, as the image does for the variables that compose.yaml sets, and serves it.
set -eu
export PGDATA=/var/lib/postgresql/18/docker
if [ ! -e "$PGDATA/postgresql.auto.conf" ]; then
    rm -rf "$PGDATA"
    initdb --username="$POSTGRES_USER" --pwfile=<(printf %s "$POSTGRES_PASSWORD") --auth=scram-sha-256 --locale=C.UTF-8
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    echo "CREATE DATABASE $POSTGRES_DB" | postgres --single -D "$PGDATA" postgres
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp
