"""What the statistics would be with other points or another day rule: a dry generation, compared and dropped."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from projector import generation as generations
from projector.loading import load_from_log
from projector.rebuild import NEXT_GENERATION, Refused, drop_left_overs, turn
from projector.runner import Amendment
from shared.domain.days import is_timezone
from shared.domain.names import InvalidName, achievement_name
from shared.event_store.log import head_position
from shared.read_models.generations import schema_name, served_generation
from shared.runtime.database import Connection

OTHER_POINTS: Final = """
UPDATE batch b SET points = n.points FROM unnest($1::bigint[], $2::int[]) AS n (achievement_id, points)
WHERE b.achievement_id = n.achievement_id AND b.points IS NOT NULL
"""
OTHER_DAYS: Final = "UPDATE batch SET local_day = (awarded_at AT TIME ZONE $1)::date WHERE awarded_at IS NOT NULL"
NAMES: Final = "SELECT DISTINCT achievement_id, name FROM {served}.achievement_texts"

RANKS: Final = """
SELECT t.user_id, u.username, t.total_points, s.streak_days, s.streak_started_on,
       rank() OVER (ORDER BY t.total_points DESC, t.points_position, t.user_id) AS place
FROM {g}.user_totals t
JOIN {served}.users u USING (user_id)
LEFT JOIN {g}.user_streaks s USING (user_id)
WHERE t.total_achievements > 0
"""
COMPARED: Final = f"""
SELECT n.user_id, n.username, o.place AS place_before, n.place,
       o.total_points AS points_before, n.total_points AS points,
       coalesce(o.streak_days, 0) AS streak_before, coalesce(n.streak_days, 0) AS streak
FROM ({RANKS.replace("{g}", "{dry}")}) n
JOIN ({RANKS.replace("{g}", "{served}")}) o USING (user_id)
"""  # noqa: S608 - put together from constants
MOVED: Final = f"""
SELECT count(*) FILTER (WHERE place <> place_before) AS moved,
       count(*) FILTER (WHERE streak <> streak_before) AS streaks
FROM ({COMPARED}) c
"""  # noqa: S608 - the same
LEADER: Final = f"SELECT * FROM ({COMPARED}) c ORDER BY place_before LIMIT $1"  # noqa: S608 - the same
LEADERS: Final = f"SELECT * FROM ({COMPARED}) c ORDER BY place LIMIT $1"  # noqa: S608 - the same
MOVERS: Final = f"""
SELECT * FROM ({COMPARED}) c WHERE place <> place_before ORDER BY abs(place - place_before) DESC, place LIMIT $1
"""  # noqa: S608 - the same
STREAKS: Final = f"SELECT * FROM ({COMPARED}) c WHERE streak > 0 ORDER BY streak DESC, user_id LIMIT $1"  # noqa: S608 - the same
SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Standing:
    """One user as it is and as it would be: places from 1 by points, and days of the longest streak."""

    username: str
    place_before: int
    place: int
    points_before: int
    points: int
    streak_before: int
    streak: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """Who leads by points, who would, who would by streak, who would move most, and how many would."""

    leader: Standing | None
    leaders: Sequence[Standing]
    movers: Sequence[Standing]
    streaks: Sequence[Standing]
    moved: int
    other_streaks: int


async def what_if(url: str, points: Mapping[str, int], timezone: str | None) -> Outlook:
    """Compare what is served with a generation under other rules.

    Points go by the names of achievements, or by `#` and an id.

    Under traffic the two may be some moments apart. Raises Busy while a rebuild runs, Refused for a name or a time zone
    that is not known, or a database error.
    """
    if timezone is not None and not is_timezone(timezone):
        raise Refused("The time zone is not an IANA name such as Asia/Tokyo.")
    async with turn(url) as connection:
        await drop_left_overs(connection)
        served = await served_generation(connection)
        amendments = await _amendments(connection, served, points, timezone)
        dry = await connection.fetchval(NEXT_GENERATION)
        await generations.create(connection, dry)
        try:
            # What has come meanwhile is soon folded too, so that both sides end at nearly the same position.
            for _ in range(2):
                await load_from_log(url, dry, await head_position(connection), amendments=amendments)
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await _compare(connection, served, dry)
        finally:
            await generations.drop(connection, dry)


async def _amendments(
    connection: Connection, served: int, points: Mapping[str, int], timezone: str | None
) -> list[Amendment]:
    found: dict[int, int] = {}
    names = await connection.fetch(NAMES.format(served=schema_name(served)))
    ids_by_key: dict[str, set[int]] = defaultdict(set)
    for row in names:
        ids_by_key[achievement_name(row["name"]).key].add(row["achievement_id"])
        ids_by_key[f"#{row['achievement_id']}"].add(row["achievement_id"])
    for name, value in points.items():
        ids = ids_by_key.get(_key(name), set())
        if not ids:
            raise Refused(f"No achievement is called “{name}”.")
        if len(ids) > 1:
            raise Refused(f"More than one achievement is called “{name}”; give an id, as in '#{min(ids)}={value}'.")
        found[next(iter(ids))] = value
    amendments: list[Amendment] = [(OTHER_POINTS, (list(found), list(found.values())))] if found else []
    if timezone is not None:
        amendments.append((OTHER_DAYS, (timezone,)))
    return amendments


def _key(name: str) -> str:
    try:
        return achievement_name(name).key
    except InvalidName:
        return ""


async def _compare(connection: Connection, served: int, dry: int) -> Outlook:
    schemas = {"served": schema_name(served), "dry": schema_name(dry)}

    async def standings(query: str, most: int = SHOWN) -> list[Standing]:
        rows = await connection.fetch(query.format(**schemas), most)
        return [Standing(**{name: row[name] for name in Standing.__slots__}) for row in rows]

    moved = await connection.fetchrow(MOVED.format(**schemas))
    return Outlook(
        next(iter(await standings(LEADER, 1)), None),
        await standings(LEADERS),
        await standings(MOVERS),
        await standings(STREAKS),
        moved["moved"] if moved else 0,
        moved["streaks"] if moved else 0,
    )
