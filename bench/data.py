"""The data: a log as the command side would have written it, made by PostgreSQL itself, and its read models.

Every user has ten awards, spread over days so that streaks have every length up to ten; a thousand of them, the first,
have ten more.
"""

from typing import Final

import asyncpg

from bench import bare
from command_api.decisions.achievements import DefineAchievement, TranslateAchievement
from command_api.group import Submission
from command_api.group_commit import running
from shared.domain.names import achievement_name
from shared.read_models.generations import schema_name
from shared.runtime.database import OwnConnection, Role

AWARDS_EACH: Final = 10
ACHIEVEMENTS: Final = 20
RICH_USERS: Final = 1_000
"""How many users have twice as many awards, for the pages of twenty."""

USERS: Final = """
WITH made AS (
    SELECT h.position + n AS position, h.last_user_id + n AS user_id, cardinality(h.partition_positions) AS partitions
    FROM log_head h, generate_series(1, $1::bigint) AS n
), known AS (
    INSERT INTO write_model.users
    SELECT user_id, 'player-' || user_id, 'player-' || user_id, 'en', 'UTC', now(), now() FROM made
)
INSERT INTO events
SELECT position, uuidv7(), user_id % partitions, 'user-created', 1, user_id,
       jsonb_build_object('user_id', user_id, 'username', 'player-' || user_id, 'username_key', 'player-' || user_id,
                          'user_language', 'en', 'user_timezone', 'UTC'), now()
FROM made
"""

# A prime step through the users: neighbours in the log are of different users, as in life. $1: users, $2: rich users.
AWARDS: Final = f"""
WITH made AS (
    SELECT h.position + 1 + n AS position, cardinality(h.partition_positions) AS partitions,
           CASE WHEN n < $1 * {AWARDS_EACH} THEN 1 + n * 999983 % $1 ELSE 1 + n % $2 END AS user_id,
           CASE WHEN n < $1 * {AWARDS_EACH} THEN n / $1
                ELSE {AWARDS_EACH} + (n - $1 * {AWARDS_EACH}) / $2 END AS round,
           n * 31 % 86400 AS second
    FROM log_head h, generate_series(0, ($1::bigint + $2::bigint) * {AWARDS_EACH} - 1) AS n
), placed AS (
    SELECT position, partitions, user_id, second,
           1 + abs(hashint8(user_id * 1000 + round)::bigint) % {ACHIEVEMENTS} AS achievement_id,
           date '2025-03-01' + (round + CASE WHEN round > user_id % 10 THEN 1 ELSE 0 END)::int AS day
    FROM made
)
INSERT INTO events
SELECT position, uuidv7(), user_id % partitions, 'achievement-awarded', 1, user_id,
       jsonb_build_object('award_id', position, 'user_id', user_id, 'achievement_id', achievement_id,
                          'points', achievement_id * 5, 'local_day', day,
                          'awarded_at', to_char(day + make_interval(secs => second), 'YYYY-MM-DD"T"HH24:MI:SS"Z"')),
       now()
FROM placed
"""

HEAD: Final = """
UPDATE log_head h SET
    position = (SELECT max(position) FROM events),
    recorded_at = now(),
    last_user_id = (SELECT max(user_id) FROM write_model.users),
    partition_positions = ARRAY(
        SELECT coalesce(max(e.position), 0)
        FROM generate_series(0, cardinality(h.partition_positions) - 1) AS p LEFT JOIN events e ON e.partition = p
        GROUP BY p ORDER BY p)
RETURNING position
"""


async def fill_log(url: str, users: int) -> int:
    """Append a catalogue, so many users and their awards to an empty log; return its head."""
    await _define_achievements(url)
    connection = await bare.connect(url)
    try:
        async with connection.transaction():
            await connection.execute(USERS, users)
            await connection.execute(HEAD)
            await connection.execute(AWARDS, users, min(users, RICH_USERS))
            head: int = await connection.fetchval(HEAD)
        await connection.execute("VACUUM ANALYZE events")
        await connection.execute("VACUUM ANALYZE write_model.users")
    finally:
        await connection.close()
    return head


async def _define_achievements(url: str) -> None:
    commands = [
        DefineAchievement(
            achievement_name=achievement_name(f"Achievement {number}"),
            achievement_description=f"The achievement with the number {number}.",
            achievement_language="en",
            achievement_point=number * 5,
            repeatable=True,
        )
        for number in range(1, ACHIEVEMENTS + 1)
    ]
    translations = [
        TranslateAchievement(
            achievement_id=number,
            achievement_language="ru",
            achievement_name=achievement_name(f"Достижение {number}"),
            achievement_description="",
        )
        for number in range(1, ACHIEVEMENTS + 1)
    ]
    async with running(url) as (appender, _):
        await appender.submit_many([Submission(command) for command in commands])
        await appender.submit_many([Submission(translation) for translation in translations])


async def load_read_models(url: str, head: int) -> None:
    """Fold the log into the live generation in one go, in the place of what it has."""
    connection = await bare.connect(url, Role.PROJECTOR, bare.BULK_SESSION)
    try:
        await connection.execute(f"DROP SCHEMA {schema_name(1)} CASCADE")
        await bare.load_generation(connection, 1)
        await connection.execute("UPDATE progress SET position = $1", head)
    finally:
        await connection.close()
    await tidy(url)


async def forget_read_models(connection: OwnConnection) -> None:
    """Set the projection back to the beginning of the log, as the database's owner."""
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", schema_name(1))
    await connection.execute("TRUNCATE " + ", ".join(f"{schema_name(1)}.{table['tablename']}" for table in tables))
    await connection.execute("UPDATE progress SET position = 0, kafka_offset = NULL")


async def tidy(url: str) -> None:
    """Leave nothing behind for autovacuum and the checkpointer to do while something else is measured."""
    connection: asyncpg.Connection[asyncpg.Record] = await bare.connect(url)
    try:
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()
