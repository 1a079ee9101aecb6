"""PURE: takes in the events of a log one after the other, each held to the rules of the command that leads to it.

The command is put together from the event, checked as what a producer sends, and decided on the state so far. What that
leads to is what the log has to have.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import ValidationError

from command_api.decisions import Command
from command_api.decisions.awards import AwardAchievement
from command_api.decisions.state import Catalogue, State, User
from command_api.schemas import BULK_COMMANDS
from shared.domain.errors import DomainError
from shared.events.codec import FIELDS
from shared.events.envelope import RecordedEvent
from shared.events.json_lines import MalformedLine
from shared.events.types import AchievementAwarded, AwardRevoked, Event, UserCreated

EPOCH: Final = datetime.fromtimestamp(0, UTC)
DAY: Final = timedelta(days=1)


def _nothing() -> State:
    return State(now=EPOCH, position=0, last_user_id=0, last_achievement_id=0, catalogue=Catalogue())


@dataclass(slots=True)
class Replay:
    """A log while its events come in.

    `partition_positions` are the last positions of its partitions, `languages` those that there may be, and `latest` is
    the time after which nothing can have been recorded.
    """

    partition_positions: list[int]
    languages: frozenset[str]
    latest: datetime
    state: State = field(default_factory=_nothing)

    def follow(self, recorded: RecordedEvent, event: Event) -> None:
        """Take in the next event. Raises MalformedLine where no command leads to it.

        That a revoked award is there, and stands, is left to the caller: all awards are too many to keep.
        """
        state = self.state
        if recorded.position != state.position + 1:
            raise MalformedLine(f"position {recorded.position} does not follow on {state.position}")
        if recorded.recorded_at < state.now:
            raise MalformedLine("it was recorded before the event that it follows on")
        if recorded.recorded_at > self.latest:
            raise MalformedLine("it was recorded in the future")
        state.now = recorded.recorded_at
        if isinstance(event, AwardRevoked):
            self._check_revocation(event)
        else:
            self._check_outcome(event)
        state.record(event)
        state.awards.clear()
        self.partition_positions[recorded.partition] = recorded.position

    def _check_revocation(self, event: AwardRevoked) -> None:
        _user(event.user_id, self.state)
        if self.state.catalogue.get(event.achievement_id) is None:
            raise MalformedLine(f"there is no achievement {event.achievement_id} yet")
        self._checked_command(event, None)

    def _check_outcome(self, event: Event) -> None:
        try:
            expected = self._command(event).decide(self.state)
        except DomainError as error:
            raise MalformedLine(_clause(str(error))) from None
        if event != expected:
            _explain(event, expected)

    def _command(self, event: Event) -> Command:
        if event.subject is None or isinstance(event, UserCreated):
            return self._checked_command(event, None)
        user = _user(event.subject, self.state)
        if isinstance(event, AchievementAwarded):
            # By far the most frequent, and all that the checks of input would see in it was seen when it was read.
            return AwardAchievement(
                username_key=user.username_key, achievement_id=event.achievement_id, awarded_at=event.awarded_at
            )
        return self._checked_command(event, user.username)

    def _checked_command(self, event: Event, username: str | None) -> Command:
        model = _LEADING_TO[type(event)]
        given = {name: value for name, value in model.fields_for(event, username).items() if value is not None}
        try:
            return model.model_validate(given, context={"languages": self.languages}).command()
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_context=False, include_input=False)[0]
            name = str(wrong["loc"][0]).removeprefix("new_")
            setting = " (LAURELS_LANGUAGES)" if name.endswith("_language") else ""
            raise MalformedLine(f"{name!r} is refused: {_clause(wrong['msg'])}{setting}") from None


_LEADING_TO: Final = {model.leads_to: model for model in BULK_COMMANDS.values()}


def _user(user_id: int, state: State) -> User:
    try:
        return state.user_by_id(user_id)
    except KeyError:
        raise MalformedLine(f"there is no user {user_id} yet") from None


def _explain(event: Event, expected: Event) -> None:
    """Raise MalformedLine that names the field in which they differ, but for a day that may have been right."""
    for name, _ in FIELDS[event.type]:
        if getattr(event, name) != getattr(expected, name) and not (name == "local_day" and _is_possible_day(event)):
            raise MalformedLine(f"{name!r} has a value that does not follow from the events before it")


def _is_possible_day(event: Event) -> bool:
    # A day was fixed by the time zone database of then; no time zone is a day or more away from UTC.
    return isinstance(event, AchievementAwarded) and abs(event.local_day - event.awarded_at.date()) <= DAY


def _clause(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].removesuffix(".")
