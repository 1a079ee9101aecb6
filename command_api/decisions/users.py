"""Commands about users, and their decisions."""

from dataclasses import dataclass
from typing import ClassVar

from command_api.decisions.state import State, User
from shared.domain.errors import UnknownUser, UsernameTaken
from shared.domain.names import Name
from shared.events.types import UserChanged, UserCreated


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateUser:
    """Register a user."""

    type: ClassVar[str] = "create-user"
    username: Name
    user_language: str
    user_timezone: str

    @property
    def username_keys(self) -> tuple[str, ...]:
        """The new user's."""
        return (self.username.key,)

    def decide(self, state: State) -> UserCreated:
        """Register a user under a name that nobody has."""
        if self.username.key in state.users:
            raise UsernameTaken("Another user has this name.")
        return UserCreated(
            user_id=state.last_user_id + 1,
            username=self.username.display,
            username_key=self.username.key,
            user_language=self.user_language,
            user_timezone=self.user_timezone,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeUser:
    """Change a user's name, language or time zone; None leaves a field as it is."""

    type: ClassVar[str] = "change-user"
    username_key: str
    new_username: Name | None = None
    user_language: str | None = None
    user_timezone: str | None = None

    @property
    def username_keys(self) -> tuple[str, ...]:
        """The user's, before and after."""
        return (self.username_key, self.new_username.key) if self.new_username else (self.username_key,)

    def decide(self, state: State) -> UserChanged:
        """Change a profile; a new name must be free, or the user's own in another spelling."""
        user = find(self.username_key, state)
        name = self.new_username or Name(user.username, user.username_key)
        holder = state.users.get(name.key)
        if holder and holder.user_id != user.user_id:
            raise UsernameTaken("Another user has this name.")
        return UserChanged(
            user_id=user.user_id,
            username=name.display,
            username_key=name.key,
            user_language=self.user_language or user.user_language,
            user_timezone=self.user_timezone or user.user_timezone,
        )


def find(username_key: str, state: State) -> User:
    """Return the user with this name. Raises UnknownUser."""
    user = state.users.get(username_key)
    if user is None:
        raise UnknownUser("No user has this name.")
    return user
