"""The database as the migrations build it: who may do what, and that the code and the migrations mean the same."""

import re
import secrets
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from all_in_one.embedded_postgres import Connection, EmbeddedPostgres
from shared.read_models.generations import VERSION
from shared.runtime.database import Role, connect
from shared.runtime.layout import EARLIER, HEAD_REVISION, MADE_EARLIER
from shared.runtime.settings import Settings
from tests.support.catalog import build_as_declared, difference, schema_of
from tests.support.processes import ROOT, free_port, run
from tests.support.synchronously import synchronously

CHANGES = ("UPDATE events SET type = type", "DELETE FROM events", "TRUNCATE events")
UPSERT = """
INSERT INTO events SELECT * FROM events ON CONFLICT (position) DO UPDATE SET type = excluded.type
"""
EVENT = """
INSERT INTO events VALUES (1, gen_random_uuid(), 0, 'user-created', 1, 1, '{}', now())
"""
TABLES = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name,
       (SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = c.oid AND attnum = 1) AS first_column
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
ORDER BY 1
"""
NEVER_EMPTY = {"public.events", "public.log_head", "public.progress", "generation_1.users", "write_model.relay_lease"}

MakeDatabase = Callable[[], str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    postgres = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))
    yield synchronously(postgres.start())
    synchronously(postgres.stop())


@pytest.fixture(scope="module")
def make_database(server: Connection) -> MakeDatabase:
    """Make an empty database, and return its URL."""

    def make() -> str:
        name = f"database_{secrets.token_hex(6)}"
        execute(server.url, f"CREATE DATABASE {name}")
        return Connection(server.host, server.password, database=name).url

    return make


@pytest.fixture(scope="module")
def database(make_database: MakeDatabase) -> str:
    """Give a migrated database with one event in its log."""
    url = make_database()
    upgrade(url)
    execute(url, EVENT)
    return url


def alembic(url: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-m", "alembic", *arguments], environment={"LAURELS_DATABASE_URL": url, **settings})


def upgrade(url: str, **settings: str) -> None:
    done = alembic(url, "upgrade", "head", **settings)
    assert 0 == done.returncode, done.stderr


def fetch(url: str, query: str, role: Role | None = None) -> list[asyncpg.Record]:
    async def ask() -> list[asyncpg.Record]:
        connection = await connect(url, role)
        try:
            return await connection.fetch(query)
        finally:
            await connection.close()

    return synchronously(ask())


def execute(url: str, statement: str, role: Role | None = None) -> None:
    fetch(url, statement, role)


def value(url: str, query: str) -> Any:  # noqa: ANN401 - whatever the query gives
    return fetch(url, query)[0][0]


def refused(url: str, statement: str, role: Role | None = None) -> bool:
    """Tell whether PostgreSQL refuses a statement for want of a privilege; whatever else is wrong with it is raised."""
    try:
        execute(url, statement, role)
    except asyncpg.InsufficientPrivilegeError:
        return True
    return False


def test_the_query_side_can_only_select(database: str) -> None:
    """Its role is refused every change of every table, whatever the migrations add."""
    tables = fetch(database, TABLES)

    allowed = [
        statement
        for name, column in tables
        for statement in (
            f"INSERT INTO {name} DEFAULT VALUES",
            f"UPDATE {name} SET {column} = DEFAULT WHERE false",  # noqa: S608 - our own names
            f"DELETE FROM {name} WHERE false",  # noqa: S608 - our own names
            f"TRUNCATE {name}",
            f"SELECT FROM {name} FOR UPDATE",
            f"DROP TABLE {name}",
        )
        if not refused(database, statement, Role.QUERY)
    ]

    assert {name for name, _ in tables} >= NEVER_EMPTY
    assert [] == allowed


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE public.mine ()",
        "CREATE TABLE generation_1.mine ()",
        "CREATE TABLE write_model.mine ()",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE ROLE mine",
        "ALTER TABLE public.events DISABLE TRIGGER ALL",
    ],
)
def test_the_query_side_can_create_nothing(database: str, statement: str) -> None:
    """Its role has no place to put anything in."""
    assert refused(database, statement, Role.QUERY)


def test_the_query_side_reads_what_it_serves(database: str) -> None:
    """Its role may read the live generation and where it stands, and nothing of the write model."""
    names = [name for name, _ in fetch(database, TABLES)]

    readable = {name for name in names if not refused(database, f"SELECT FROM {name} LIMIT 1", Role.QUERY)}

    assert {name for name in names if name.startswith("generation_1.")} <= readable
    assert {"public.events", "public.log_head", "public.generations", "public.progress"} <= readable
    assert not [name for name in readable if name.startswith("write_model.")]


@pytest.mark.parametrize("statement", [*CHANGES, UPSERT, "DROP TABLE events", "ALTER TABLE events DISABLE TRIGGER ALL"])
@pytest.mark.parametrize("role", list(Role))
def test_no_service_can_change_what_happened(database: str, role: Role, statement: str) -> None:
    """Every service's role is refused UPDATE, DELETE and TRUNCATE on the log, and whatever comes to the same."""
    assert refused(database, statement, role)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.COMMAND])
def test_only_the_command_side_appends(database: str, role: Role) -> None:
    """No other role can insert into the log or move its head."""
    assert refused(database, EVENT, role)
    assert refused(database, "UPDATE log_head SET position = position", role)


@pytest.mark.parametrize("statement", [*CHANGES, UPSERT, "DELETE FROM events WHERE false", "TRUNCATE events CASCADE"])
def test_not_even_the_owner_can_change_what_happened(database: str, statement: str) -> None:
    """A trigger refuses it to the table's owner, a superuser, too."""
    before = fetch(database, "SELECT * FROM events")

    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        execute(database, statement)

    assert before == fetch(database, "SELECT * FROM events")


def test_migrating_again_changes_nothing(make_database: MakeDatabase) -> None:
    """A second run finds everything done: one head of the log, one live generation, of this code's version."""
    url = make_database()

    upgrade(url)
    upgrade(url)

    assert HEAD_REVISION == value(url, "SELECT version_num FROM alembic_version")
    assert 1 == value(url, "SELECT count(*) FROM log_head")
    assert [("live", VERSION)] == [tuple(row) for row in fetch(url, "SELECT state, version FROM generations")]


def test_the_migrations_build_what_the_code_declares(server: Connection, make_database: MakeDatabase) -> None:
    """Tables, functions, triggers, owners and privileges are those of the metadata, the `.sql` files and the grants."""
    migrated, declared = make_database(), make_database()

    upgrade(migrated)
    build(declared)

    assert "" == difference(schema_of(server, name_in(migrated)), schema_of(server, name_in(declared)))


@pytest.mark.parametrize(
    "drift",
    [
        "ALTER TABLE log_head DROP COLUMN catalogue_position",
        "ALTER TABLE write_model.users ADD COLUMN shoe_size integer",
        "ALTER TABLE progress ALTER COLUMN kafka_offset TYPE integer",
        "ALTER TABLE progress ALTER COLUMN epoch DROP DEFAULT",
        "ALTER TABLE events ALTER COLUMN data DROP NOT NULL",
        "ALTER TABLE events ALTER COLUMN data SET STORAGE external",
        "DROP INDEX generation_1.count_ranking",
        "ALTER TABLE generations DROP CONSTRAINT generation_state",
        "ALTER TABLE write_model.achievement_texts DROP CONSTRAINT achievement_texts_achievement_id_fkey",
        "COMMENT ON TABLE progress IS 'something else'",
        "COMMENT ON COLUMN events.data IS 'something else'",
        "ALTER TABLE log_head RESET (fillfactor)",
        "ALTER FUNCTION position_at PARALLEL UNSAFE",
        "CREATE OR REPLACE FUNCTION position_at(moment timestamptz) RETURNS bigint LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION forgotten() RETURNS bigint LANGUAGE sql AS 'SELECT 1'",
        "DROP TRIGGER events_are_append_only ON events",
        "ALTER TABLE events DISABLE TRIGGER events_are_append_only",
        "GRANT UPDATE ON events TO laurels_command",
        "GRANT SELECT (position) ON write_model.idempotency TO laurels_query",
        "REVOKE EXECUTE ON FUNCTION read_position FROM PUBLIC",
        "GRANT CREATE ON SCHEMA generation_1 TO laurels_query",
        "ALTER DEFAULT PRIVILEGES FOR ROLE laurels_projector IN SCHEMA generation_1 REVOKE ALL ON TABLES FROM laurels_query",  # noqa: E501
        "ALTER TABLE generation_1.users OWNER TO laurels_command",
        "ALTER SEQUENCE rebuilds_rebuild_id_seq INCREMENT 2",
        "DO $$ BEGIN EXECUTE format('REVOKE CREATE ON DATABASE %I FROM laurels_projector', current_database()); END $$",
    ],
)
@pytest.mark.usefixtures("database")  # its migrations make the server's roles
def test_every_kind_of_drift_is_noticed(server: Connection, make_database: MakeDatabase, drift: str) -> None:
    """The comparison looks at all of this, so that finding no difference means something."""
    url = make_database()
    build(url)
    declared = schema_of(server, name_in(url))

    execute(url, drift)

    assert "" != difference(schema_of(server, name_in(url)), declared)


def build(url: str) -> None:
    async def run_all() -> None:
        connection = await connect(url)
        try:
            await build_as_declared(connection)
        finally:
            await connection.close()

    synchronously(run_all())


def name_in(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def test_a_service_has_no_more_than_its_role() -> None:
    """The roles of the code are those that the first migration makes."""
    made = (ROOT / "alembic/versions/0001/roles.sql").read_text()
    assert {role.value for role in Role} == set(re.findall(r"laurels_\w+", made))


def test_the_migrations_import_nothing_of_ours() -> None:
    """A migration that imported live code would build something else with every change of it."""
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
    ours = re.compile(rf"^\s*(?:from|import) (?:{'|'.join(packages)})\b", re.MULTILINE)
    files = sorted((ROOT / "alembic").rglob("*.py"))

    assert len(files) > 1
    assert [] == [path.name for path in files if ours.search(path.read_text())]


def test_two_migrations_at_the_same_time_do_not_collide(make_database: MakeDatabase) -> None:
    """Whoever comes second waits and finds everything done, in one database or in two of one server."""
    urls = [make_database()] * 2 + [make_database()] * 2

    with ThreadPoolExecutor(len(urls)) as pool:
        done = list(pool.map(lambda url: alembic(url, "upgrade", "head"), urls))

    assert [0] * len(urls) == [one.returncode for one in done], [one.stderr for one in done]
    for url in urls:
        assert [HEAD_REVISION] == [row[0] for row in fetch(url, "SELECT version_num FROM alembic_version")]
        assert 1 == value(url, "SELECT count(*) FROM log_head")


def test_readiness_asks_for_the_newest_revision() -> None:
    """`/ready` needs the very migration that `alembic upgrade head` ends with."""
    assert HEAD_REVISION == ScriptDirectory.from_config(Config(ROOT / "alembic.ini")).get_current_head()


@pytest.mark.parametrize("partitions", [1, 3, 64])
def test_the_number_of_partitions_is_a_setting(make_database: MakeDatabase, partitions: int) -> None:
    """LAURELS_PARTITIONS decides once, for the log, the relay and the projectors alike."""
    url = make_database()

    upgrade(url, LAURELS_PARTITIONS=str(partitions))

    assert partitions == value(url, "SELECT cardinality(partition_positions) FROM log_head")
    assert partitions == value(url, "SELECT cardinality(partition_positions) FROM write_model.relay_lease")
    assert list(range(partitions)) == [row[0] for row in fetch(url, "SELECT partition FROM progress ORDER BY 1")]


def test_without_a_setting_there_are_as_many_partitions_as_the_code_says(database: str) -> None:
    """The migrations' own default is that of the setting."""
    expected = Settings.model_fields["partitions"].default
    assert expected == value(database, "SELECT cardinality(partition_positions) FROM log_head")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "LAURELS_DATABASE_URL is not set"),
        ({"LAURELS_DATABASE_URL": "postgresql://127.0.0.1:9/none", "LAURELS_PARTITIONS": "0"}, "LAURELS_PARTITIONS"),
        ({"LAURELS_DATABASE_URL": "postgresql://127.0.0.1:9/none", "LAURELS_PARTITION": "3"}, "LAURELS_PARTITIONS?"),
    ],
    ids=str,
)
def test_a_wrong_setting_of_the_migrations_is_named(settings: dict[str, str], said: str) -> None:
    """What is forgotten, out of range or misspelt is one sentence."""
    done = run([sys.executable, "-m", "alembic", "upgrade", "head"], environment=settings)

    assert 0 != done.returncode
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("revision", sorted(EARLIER))
def test_a_database_of_an_earlier_version_is_not_touched(make_database: MakeDatabase, revision: str) -> None:
    """Its operator is told to export and restore, by the migrations, by `laurels up` and by every service."""
    url = make_database()
    execute(url, "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    execute(url, f"INSERT INTO alembic_version VALUES ('{revision}')")  # noqa: S608 - our own
    before = fetch(url, TABLES)
    settings = {"LAURELS_DATABASE_URL": url, "LAURELS_PORT": str(free_port())}
    services = ["command_api", "command_api.relay", "projector", "query_api"] if revision == min(EARLIER) else []
    commands = [["python", "-m", name] for name in services]

    for command in (["python", "-m", "alembic", "upgrade", "head"], ["laurels", "up"], *commands):
        done = run(command, environment=settings)
        assert 0 != done.returncode, command
        assert MADE_EARLIER in (done.stderr + done.stdout).replace("\n", " "), command
        assert "Traceback" not in done.stderr, command

    assert before == fetch(url, TABLES)
    assert [(revision,)] == [tuple(row) for row in fetch(url, "SELECT * FROM alembic_version")]
