"""Why a command or a question is refused, in the words of the domain.

The message is one sentence for a person; it repeats nothing of the raw input.
"""


class DomainError(Exception):
    """Base of all refusals. `code` is stable and meant for programs."""

    code = "refused"


class InvalidInput(DomainError):
    """A value breaks a rule; `pointer` is the JSON pointer of the field."""

    code = "invalid-input"

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message)
        self.pointer = pointer


class UnknownUser(DomainError):
    """No user has this name."""

    code = "unknown-user"


class UnknownAchievement(DomainError):
    """The catalogue has no such achievement."""

    code = "unknown-achievement"


class UnknownAward(DomainError):
    """No award that stands has this id."""

    code = "unknown-award"


class NoAwards(DomainError):
    """There is nothing yet to make a statistic of."""

    code = "no-awards"


class UsernameTaken(DomainError):
    """Another user has this name."""

    code = "username-taken"


class AchievementNameTaken(DomainError):
    """Another achievement has this name in this language."""

    code = "achievement-name-taken"


class AmbiguousAchievementName(DomainError):
    """Several achievements have this name, in different languages."""

    code = "ambiguous-achievement-name"


class AlreadyAwarded(DomainError):
    """The achievement is held once only, and the user holds it."""

    code = "already-awarded"


class IdempotencyKeyReused(DomainError):
    """The key was used for another command."""

    code = "idempotency-key-reused"
