"""Decisions about users."""

from command_api.commands import ChangeUser, CreateUser
from command_api.decisions.state import State, User
from shared.domain.errors import UnknownUser, UsernameTaken
from shared.domain.names import Name
from shared.events.types import UserChanged, UserCreated


def create(command: CreateUser, state: State) -> UserCreated:
    """Register a user under a name that nobody has."""
    if command.username.key in state.users:
        raise UsernameTaken("Another user has this name.")
    return UserCreated(
        user_id=state.last_user_id + 1,
        username=command.username.display,
        username_key=command.username.key,
        user_language=command.user_language,
        user_timezone=command.user_timezone,
    )


def change(command: ChangeUser, state: State) -> UserChanged:
    """Change a profile; a new name must be free, or the user's own in another spelling."""
    user = find(command.username_key, state)
    name = command.new_username or Name(user.username, user.username_key)
    holder = state.users.get(name.key)
    if holder and holder.user_id != user.user_id:
        raise UsernameTaken("Another user has this name.")
    return UserChanged(
        user_id=user.user_id,
        username=name.display,
        username_key=name.key,
        user_language=command.user_language or user.user_language,
        user_timezone=command.user_timezone or user.user_timezone,
    )


def find(username_key: str, state: State) -> User:
    """Return the user with this name. Raises UnknownUser."""
    user = state.users.get(username_key)
    if user is None:
        raise UnknownUser("No user has this name.")
    return user
