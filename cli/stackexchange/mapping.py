"""Maps a dump to commands: users, the achievements that badges stand for, and awards.

All of them but the definitions carry idempotency keys made of the site and the ids of the dump.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.client import Command
from cli.stackexchange.dump import BADGES, USERS, Badge, Medal
from shared.domain.names import InvalidName, achievement_name

LANGUAGE: Final = "en"


@dataclass(frozen=True, slots=True)
class Step:
    """A command, and the row of the dump that it comes from."""

    origin: str
    command: Command


@dataclass(frozen=True, slots=True)
class Achievement:
    """What a badge becomes: a name of its own, its points, and the row that first had it."""

    name: str
    points: int
    origin: str


class Catalogue:
    """Names the achievements that badges stand for, each name with one number of points.

    A badge becomes `NAME`, a tag badge `NAME (gold)`. Where a name is already worth something else, because one badge
    occurs in two classes, the class first met keeps the name and the later ones are qualified: `NAME (silver)`.
    """

    def __init__(self) -> None:
        self._names: dict[tuple[str, Medal, bool], str] = {}
        self._achievements: dict[str, Achievement] = {}

    def __len__(self) -> int:
        """Count the achievements."""
        return len(self._achievements)

    def name_for(self, badge: Badge) -> str:
        """Return the name of the achievement, settled when such a badge is first met; raise DumpError."""
        such = (badge.name, badge.medal, badge.tag_based)
        if such not in self._names:
            self._names[such] = self._settle(badge)
        return self._names[such]

    def steps(self) -> Iterator[Step]:
        """Yield the definitions, in the order in which the badges occur."""
        for achievement in self._achievements.values():
            command = {
                "type": "define-achievement",
                "achievement_name": achievement.name,
                "achievement_description": "",
                "achievement_language": LANGUAGE,
                "achievement_point": achievement.points,
            }
            yield Step(achievement.origin, command)

    def _settle(self, badge: Badge) -> str:
        qualifier = f" ({badge.medal.title})"
        name = badge.name + qualifier if badge.tag_based else badge.name
        while True:
            try:
                key = achievement_name(name).key
            except InvalidName as refused:
                badge.row.refuse(f"Name cannot name an achievement: {str(refused).rstrip('.')}")
            wanted = Achievement(name, badge.medal.points, str(badge.row))
            known = self._achievements.setdefault(key, wanted)
            if known.points == wanted.points:
                return known.name
            name += qualifier


@dataclass(frozen=True, slots=True)
class Dump:
    """A dump that was read to its end: its name, its users in the order to create them, and what it holds."""

    folder: Path
    site: str
    usernames: Mapping[int, str]
    listed: int
    catalogue: Catalogue
    badges: int


def user_steps(dump: Dump) -> Iterator[Step]:
    """Yield the users to create, those of `Users.xml` first and in its order."""
    for number, (user_id, name) in enumerate(dump.usernames.items(), 1):
        origin = f"{USERS}, row {number} (Id {user_id})" if number <= dump.listed else f"{BADGES}, UserId {user_id}"
        command = {
            "type": "create-user",
            "username": name,
            "user_language": LANGUAGE,
            "idempotency_key": f"{dump.site}/user/{user_id}",
        }
        yield Step(origin, command)


def award_steps(badges: Iterable[Badge], dump: Dump) -> Iterator[Step]:
    """Yield the awards, one a badge, in the order of the file."""
    for badge in badges:
        command = {
            "type": "award-achievement",
            "username": dump.usernames[badge.user_id],
            "achievement_name": dump.catalogue.name_for(badge),
            "awarded_at": badge.awarded_at.isoformat().replace("+00:00", "Z"),
            "idempotency_key": f"{dump.site}/badge/{badge.badge_id}",
        }
        yield Step(str(badge.row), command)
