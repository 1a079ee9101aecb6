"""Valid histories: wishes are drawn, and what `decide` makes of them is what happened.

A wish names users, achievements and awards by a number that counts round those there are, so that nearly every wish
comes true and a failing history shrinks well; what is refused is left out.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import NAMESPACE_URL, uuid5

from hypothesis import strategies as st

from command_api.decisions import Command
from command_api.decisions.achievements import DefineAchievement, TranslateAchievement
from command_api.decisions.awards import AwardAchievement, RevokeAward
from command_api.decisions.state import Catalogue, State
from command_api.decisions.users import ChangeUser, CreateUser
from shared.domain.errors import DomainError
from shared.domain.names import achievement_name, username
from shared.events.codec import SCHEMA_VERSIONS, encode
from shared.events.envelope import RecordedEvent, partition_of
from shared.events.types import AwardRevoked
from tests.support.oracle import Fact

History = tuple[Fact, ...]

START = datetime(2026, 3, 10, 22, 0, 0, 250_000, tzinfo=UTC)
"""When histories begin: two days after the clocks of New York were put forward, late in the evening."""

ZONES = ("UTC", "Asia/Tokyo", "America/New_York", "Pacific/Kiritimati", "Pacific/Honolulu")
LANGUAGES = ("en", "ru")
USERNAMES = ("Ada", "Боб", "Chloé", "d")
ACHIEVEMENTS = ("First run", "Забег", "Finisher")
POINTS = (10, 0, 5, 15, 20)
MOST_WISHES = 40


@dataclass
class Past:
    """A history while it is written: it always has a user and an achievement."""

    state: State = field(
        default_factory=lambda: State(
            now=START, position=0, last_user_id=0, last_achievement_id=0, catalogue=Catalogue()
        )
    )
    facts: list[Fact] = field(default_factory=list)

    def happen(self, command: Command) -> None:
        """Decide on a command and record what follows, if anything does."""
        # Two events each share a time, as those of a group do.
        self.state.now = START + timedelta(minutes=17) * (self.state.position // 2)
        try:
            event = command.decide(self.state)
        except DomainError:
            return
        self.state.record(event)
        self.facts.append(Fact(self.state.position, event, self.state.now))

    def user(self, number: int) -> str:
        """Return the key of one of the users."""
        user = self.state.user_by_id(number % self.state.last_user_id + 1)
        return user.username_key

    def achievement(self, number: int) -> int:
        """Return the id of one of the achievements."""
        return number % self.state.last_achievement_id + 1

    def award(self, number: int) -> int:
        """Return the id of one of the awards that stand, 0 for the latest; 0 if there is none."""
        ids = sorted(self.state.awards, reverse=True)
        return ids[number % len(ids)] if ids else 0


Wish = Callable[[Past], Command]


def history_of(wishes: Iterable[Wish]) -> History:
    """Return what happens when these wishes come one after the other."""
    past = Past()
    past.happen(CreateUser(username=username(USERNAMES[0]), user_language="en", user_timezone="UTC"))
    past.happen(define(0, "en", 10, repeatable=True)(past))
    for wish in wishes:
        past.happen(wish(past))
    return tuple(past.facts)


# Wishes


def create(name: int, language: str, zone: str) -> Wish:
    return lambda _past: CreateUser(username=username(USERNAMES[name]), user_language=language, user_timezone=zone)


def change(user: int, name: int | None, language: str | None, zone: str | None) -> Wish:
    return lambda past: ChangeUser(
        username_key=past.user(user),
        new_username=None if name is None else username(("x", *USERNAMES)[name]),
        user_language=language,
        user_timezone=zone,
    )


def define(name: int, language: str, point: int, *, repeatable: bool) -> Wish:
    return lambda _past: DefineAchievement(
        achievement_name=achievement_name(ACHIEVEMENTS[name]),
        achievement_description="",
        achievement_language=language,
        achievement_point=point,
        repeatable=repeatable,
    )


def translate(achievement: int, language: str, name: int) -> Wish:
    return lambda past: TranslateAchievement(
        achievement_id=past.achievement(achievement),
        achievement_language=language,
        achievement_name=achievement_name(("x", *ACHIEVEMENTS)[name]),
        achievement_description=f"№ {name}",
    )


def award(user: int, achievement: int, days_ago: int, hour: int) -> Wish:
    return lambda past: AwardAchievement(
        username_key=past.user(user),
        achievement_id=past.achievement(achievement),
        awarded_at=START.replace(hour=hour) - timedelta(days=days_ago) if days_ago else None,
    )


def revoke(number: int) -> Wish:
    return lambda past: RevokeAward(award_id=past.award(number), reason="A mistake." if number else None)


_NUMBER = st.integers(0, 3)
_LANGUAGE = st.sampled_from(LANGUAGES)
_ZONE = st.sampled_from(ZONES)

_CREATE = st.builds(create, _NUMBER, _LANGUAGE, _ZONE)
_DEFINE = st.builds(define, st.integers(0, 2), _LANGUAGE, st.sampled_from(POINTS), repeatable=st.booleans())
_AWARD = st.builds(award, _NUMBER, _NUMBER, st.integers(0, 9), st.sampled_from((0, 10, 23)))
_REVOKE = st.builds(revoke, _NUMBER)
_CHANGE = st.builds(change, _NUMBER, st.none() | st.integers(0, 4), st.none() | _LANGUAGE, st.none() | _ZONE)
_TRANSLATE = st.builds(translate, _NUMBER, _LANGUAGE, st.integers(0, 3))

# Awards come several times as often as other things.
_WISH = st.sampled_from((_AWARD,) * 5 + (_REVOKE,) * 2 + (_CREATE, _DEFINE, _CHANGE, _TRANSLATE)).flatmap(
    lambda wish: wish
)


def histories(*, at_least: int = 0) -> st.SearchStrategy[History]:
    """Draw a history of a user, an achievement, and up to `MOST_WISHES` things more."""
    return st.lists(_WISH, min_size=at_least, max_size=MOST_WISHES).map(history_of)


@st.composite
def histories_with_a_revocation(draw: st.DrawFn) -> tuple[History, History]:
    """Draw a history, and the same without one award that it revokes and without that revocation."""
    before = draw(st.lists(_WISH, max_size=MOST_WISHES // 2))
    between = draw(st.lists(_WISH, max_size=5))
    after = draw(st.lists(_WISH, max_size=MOST_WISHES // 2))
    whole = history_of([*before, draw(_AWARD), *between, draw(_REVOKE), *after])
    revoked = [fact.event.award_id for fact in whole if isinstance(fact.event, AwardRevoked)]
    if not revoked:
        return whole, whole
    forgotten = draw(st.sampled_from(revoked))
    return whole, tuple(fact for fact in whole if getattr(fact.event, "award_id", None) != forgotten)


@st.composite
def cuts(draw: st.DrawFn, length: int) -> list[int]:
    """Draw where a log of that length is cut into batches; the last cut is its end."""
    inner = draw(st.sets(st.integers(1, max(length - 1, 1)), max_size=8))
    return sorted({cut for cut in inner if cut < length} | {length})


@st.composite
def interleavings(draw: st.DrawFn, events: Sequence[RecordedEvent]) -> list[list[RecordedEvent]]:
    """Draw batches in which partitions progress each at its own pace, in order within each partition."""
    waiting: dict[int, list[RecordedEvent]] = {}
    for event in events:
        waiting.setdefault(event.partition, []).append(event)
    batches = []
    while waiting:
        chosen = draw(st.sets(st.sampled_from(sorted(waiting)), min_size=1))
        batch: list[RecordedEvent] = []
        for partition in chosen:
            taken = draw(st.integers(1, len(waiting[partition])))
            batch += waiting[partition][:taken]
            del waiting[partition][:taken]
        waiting = {partition: rest for partition, rest in waiting.items() if rest}
        batches.append(batch)
    return batches


def recorded(history: Sequence[Fact], partitions: int) -> list[RecordedEvent]:
    """Return the rows of the log."""
    return [
        RecordedEvent(
            position=position,
            event_id=uuid5(NAMESPACE_URL, str(position)),
            partition=partition_of(event.subject, partitions),
            type=event.type,
            schema_version=SCHEMA_VERSIONS[event.type],
            user_id=event.subject,
            data=encode(event),
            recorded_at=recorded_at,
        )
        for position, event, recorded_at in history
    ]
