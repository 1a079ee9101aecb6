"""PURE: `decide(command, state)` returns the event that follows, or raises a domain error."""

from command_api.commands import (
    AwardAchievement,
    ChangeUser,
    Command,
    CreateUser,
    DefineAchievement,
    RevokeAward,
    TranslateAchievement,
)
from command_api.decisions import achievements, awards, users
from command_api.decisions.state import State
from shared.events.types import Event


def decide(command: Command, state: State) -> Event:
    """Return the one event that the command leads to. Raises a DomainError when it is refused."""
    match command:
        # First what comes most often.
        case AwardAchievement():
            return awards.award(command, state)
        case CreateUser():
            return users.create(command, state)
        case ChangeUser():
            return users.change(command, state)
        case DefineAchievement():
            return achievements.define(command, state)
        case TranslateAchievement():
            return achievements.translate(command, state)
        case RevokeAward():
            return awards.revoke(command, state)
