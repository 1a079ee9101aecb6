"""What the statistics would be with other points or another day rule: a dry generation, compared and dropped."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from projector.generations import lifecycle as generations
from projector.generations.loading import load_from_log
from projector.generations.plan import Refused
from projector.generations.rebuild import drop_left_overs, turn
from projector.runner import Amendment
from shared.domain.days import is_timezone
from shared.domain.names import InvalidName, achievement_name
from shared.event_store.log import head_position
from shared.read_models.generations import schema_name, served_generation
from shared.runtime.database import Connection
from shared.runtime.sql import sql

OTHER_DAYS: Final = "UPDATE batch SET local_day = (awarded_at AT TIME ZONE $1)::date WHERE awarded_at IS NOT NULL"

LEADER: Final = "SELECT * FROM compared ORDER BY place_before LIMIT $1"
LEADERS: Final = "SELECT * FROM compared ORDER BY place LIMIT $1"
MOVERS: Final = (
    "SELECT * FROM compared WHERE place <> place_before ORDER BY abs(place - place_before) DESC, place LIMIT $1"
)
STREAKS: Final = "SELECT * FROM compared WHERE streak > 0 ORDER BY streak DESC, user_id LIMIT $1"
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
        dry = await connection.fetchval(sql("projector.sql", "next_generation"))
        await generations.create(connection, dry)
        try:
            # What has come meanwhile is soon folded too, so that both sides end at nearly the same position.
            for _ in range(2):
                await load_from_log(url, dry, await head_position(connection), amendments=amendments)
            async with connection.transaction(isolation="repeatable_read"):
                return await _compare(connection, served, dry)
        finally:
            await generations.drop(connection, dry)


async def _amendments(
    connection: Connection, served: int, points: Mapping[str, int], timezone: str | None
) -> list[Amendment]:
    found: dict[int, int] = {}
    names = await connection.fetch(f"SELECT DISTINCT achievement_id, name FROM {schema_name(served)}.achievement_texts")  # noqa: S608 - our own names
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
    amendments: list[Amendment] = (
        [(sql("projector.sql", "other_points"), (list(found), list(found.values())))] if found else []
    )
    if timezone is not None:
        amendments.append((OTHER_DAYS, (timezone,)))
    return amendments


def _key(name: str) -> str:
    try:
        return achievement_name(name).key
    except InvalidName:
        return ""


async def _compare(connection: Connection, served: int, dry: int) -> Outlook:
    as_it_is, would_be = (
        sql("projector.sql", "pieces/ranks", generation=schema_name(one), served=schema_name(served))
        for one in (served, dry)
    )
    await connection.execute(sql("projector.sql", "compared_ranks", as_it_is=as_it_is, would_be=would_be))

    async def standings(query: str, most: int = SHOWN) -> list[Standing]:
        rows = await connection.fetch(query, most)
        return [Standing(**{name: row[name] for name in Standing.__slots__}) for row in rows]

    changed = await connection.fetchrow(sql("projector.sql", "changed_ranks"))
    return Outlook(
        next(iter(await standings(LEADER, 1)), None),
        await standings(LEADERS),
        await standings(MOVERS),
        await standings(STREAKS),
        changed["moved"] if changed else 0,
        changed["streaks"] if changed else 0,
    )
