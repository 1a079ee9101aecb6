"""The floors in SQL: what PostgreSQL does with the same rows when nothing but the statements is run."""

import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import asyncpg

from projector.generations.lifecycle import create_generation_sql, create_indexes_sql, create_tables_sql, metadata
from projector.relation import SESSION, create_statements, fill_statement
from shared.read_models.generations import schema_name
from shared.read_models.registry import READ_MODELS, fold_functions, folded
from shared.runtime.database import OwnConnection, Role, session_settings

SCRATCH: Final = 900
"""The generation that the floors write, which nobody serves."""

FILL: Final = fill_statement("position > $1 AND position <= $2")

BULK_SESSION: Final = {
    "synchronous_commit": "off",
    "work_mem": "256MB",
    "maintenance_work_mem": "256MB",
    "max_parallel_maintenance_workers": "2",
}
BULK: Final = (
    """
    INSERT INTO users
    SELECT DISTINCT ON (user_id)
           user_id, data ->> 'username', data ->> 'username_key', data ->> 'user_language', data ->> 'user_timezone',
           min(recorded_at) OVER (PARTITION BY user_id), recorded_at, position
    FROM events WHERE type IN ('user-created', 'user-changed') ORDER BY user_id, position DESC
    """,
    """
    INSERT INTO achievements
    SELECT d.achievement_id, d.data ->> 'achievement_language', (d.data ->> 'achievement_point')::int,
           (d.data ->> 'repeatable')::boolean, d.recorded_at, greatest(d.recorded_at, t.recorded_at)
    FROM (SELECT (data ->> 'achievement_id')::bigint AS achievement_id, data, recorded_at
          FROM events WHERE type = 'achievement-defined') d
    LEFT JOIN (SELECT (data ->> 'achievement_id')::bigint AS achievement_id, max(recorded_at) AS recorded_at
               FROM events WHERE type = 'achievement-translated' GROUP BY 1) t USING (achievement_id)
    """,
    """
    INSERT INTO achievement_texts
    SELECT DISTINCT ON (1, 2) (data ->> 'achievement_id')::bigint, data ->> 'achievement_language',
           data ->> 'achievement_name', data ->> 'achievement_description'
    FROM events WHERE type IN ('achievement-defined', 'achievement-translated') ORDER BY 1, 2, position DESC
    """,
    """
    INSERT INTO user_awards
    SELECT user_id, (data ->> 'awarded_at')::timestamptz, position, (data ->> 'achievement_id')::bigint,
           (data ->> 'points')::int, (data ->> 'local_day')::date, recorded_at
    FROM events
    WHERE type = 'achievement-awarded'
      AND position NOT IN (SELECT (data ->> 'award_id')::bigint FROM events WHERE type = 'award-revoked')
    """,
    """
    INSERT INTO user_totals
    SELECT user_id, coalesce(achievements, 0), coalesce(points, 0), created_position,
           greatest(created_position, count_position), greatest(created_position, points_position)
    FROM (SELECT user_id, position AS created_position FROM events WHERE type = 'user-created') c
    LEFT JOIN (
        SELECT user_id, count(*) AS achievements, sum(points) AS points, max(award_id) AS count_position,
               max(award_id) FILTER (WHERE points > 0) AS points_position
        FROM user_awards GROUP BY user_id
    ) a USING (user_id)
    """,
    "INSERT INTO count_levels SELECT total_achievements, count(*) FROM user_totals GROUP BY 1",
    """
    INSERT INTO points_levels
    SELECT total_points, count(*), total_points - lag(total_points) OVER (ORDER BY total_points)
    FROM user_totals WHERE total_achievements > 0 GROUP BY total_points
    """,
    """
    INSERT INTO user_streaks
    SELECT d.user_id, d.days, upper(longest.run) - lower(longest.run), lower(longest.run),
           upper(latest.run) - lower(latest.run), upper(latest.run) - 1
    FROM (SELECT user_id, range_agg(daterange(local_day, local_day + 1)) AS days FROM user_awards GROUP BY user_id) d
    CROSS JOIN LATERAL (
        SELECT run FROM unnest(d.days) AS run ORDER BY upper(run) - lower(run) DESC, lower(run) LIMIT 1) longest
    CROSS JOIN LATERAL (SELECT run FROM unnest(d.days) AS run ORDER BY lower(run) DESC LIMIT 1) latest
    """,
)
"""Every read model of a whole log, as one would write it by hand: each event is decoded once, nothing is looked up."""

INSERT: Final = """
INSERT INTO bare_events (position, event_id, partition, type, schema_version, user_id, data, recorded_at)
SELECT position, event_id, partition, type, schema_version, user_id, data::jsonb, $8
FROM unnest($1::bigint[], $2::uuid[], $3::smallint[], $4::text[], $5::smallint[], $6::bigint[], $7::text[])
    AS e (position, event_id, partition, type, schema_version, user_id, data)
"""


async def connect(url: str, role: Role | None = None, settings: Mapping[str, str] | None = None) -> OwnConnection:
    """Open a connection whose statements may take as long as they like."""
    return await asyncpg.connect(url, server_settings=session_settings(role, settings))


async def fold_in_batches(url: str, upto: int, size: int) -> float:
    """Run the folds over the log, `size` positions a transaction; return events a second."""
    async with _scratch(url, SESSION) as connection:
        models = folded(READ_MODELS)
        for statement in (*create_statements(), *create_generation_sql(SCRATCH), *fold_functions(models)):
            await connection.execute(statement)
        started = time.perf_counter()
        for after in range(0, upto, size):
            async with connection.transaction():
                await connection.execute(FILL, after, min(after + size, upto))
                for model in models:
                    await connection.execute(f"SELECT pg_temp.fold_{model.name}()")
        return upto / (time.perf_counter() - started)


async def fold_in_bulk(url: str, upto: int) -> float:
    """Load the read models from a whole log of so many events, their indexes afterwards; return events a second."""
    async with _scratch(url, BULK_SESSION) as connection:
        started = time.perf_counter()
        await load_generation(connection, SCRATCH)
        return upto / (time.perf_counter() - started)


async def load_generation(connection: OwnConnection, generation: int) -> None:
    """Make a generation and load it from the log in one go, on a bulk session of the projector's role."""
    tables = metadata(generation).sorted_tables
    for statement in create_tables_sql(generation):
        await connection.execute(statement)
    for table in tables:
        await connection.execute(f"ALTER TABLE {table.fullname} DROP CONSTRAINT {table.name}_pkey")
    await connection.execute(f"SET search_path = {schema_name(generation)}, public")
    async with connection.transaction():
        for statement in BULK:
            await connection.execute(statement)
    for table in tables:
        key = ", ".join(column.name for column in table.primary_key.columns)
        await connection.execute(f"ALTER TABLE {table.fullname} ADD PRIMARY KEY ({key})")
    for statement in create_indexes_sql(generation):
        await connection.execute(statement)


@contextlib.asynccontextmanager
async def _scratch(url: str, settings: Mapping[str, str]) -> AsyncIterator[OwnConnection]:
    """Yield a session like a projector's own for a generation that is gone afterwards."""
    path = {"search_path": f"{schema_name(SCRATCH)}, public"}
    connection = await connect(url, Role.PROJECTOR, {**settings, **path})
    try:
        yield connection
    finally:
        await connection.execute(f"DROP SCHEMA IF EXISTS {schema_name(SCRATCH)} CASCADE")
        await connection.close()


async def insert_rows(url: str, rows: int, commit: int) -> float:
    """Insert awards into a table like the log, `commit` rows a transaction; return rows a second."""
    connection = await connect(url, settings={"synchronous_commit": "on"})
    try:
        await connection.execute("CREATE TABLE bare_events (LIKE events INCLUDING ALL)")
        columns = [_columns(first, commit) for first in range(1, rows + 1, commit)]
        started = time.perf_counter()
        for chunk in columns:
            await connection.execute(INSERT, *chunk, datetime.now(UTC))
        return len(columns) * commit / (time.perf_counter() - started)
    finally:
        await connection.execute("DROP TABLE IF EXISTS bare_events")
        await connection.close()


def _columns(first: int, count: int) -> tuple[list[object], ...]:
    positions = range(first, first + count)
    data = (
        '{"award_id":%d,"user_id":%d,"achievement_id":7,"points":35,'
        '"awarded_at":"2025-06-01T12:00:00Z","local_day":"2025-06-01"}'
    )
    # Version 7, as the log's ids are: the unique index grows at one end.
    ids = [UUID(int=(first + n) << 80 | 7 << 76 | 2 << 62 | n) for n in range(count)]
    return (
        list(positions),
        list(ids),
        [position % 8 for position in positions],
        ["achievement-awarded"] * count,
        [1] * count,
        list(positions),
        [data % (position, position) for position in positions],
    )
