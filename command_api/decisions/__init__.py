"""PURE: commands, which are what producers ask for once their input is known to be well-formed, and their decisions."""

from collections.abc import Sequence
from dataclasses import Field
from typing import Any, ClassVar, Protocol

from command_api.decisions.state import State
from shared.events.types import Event


class Command(Protocol):
    """What every command is: a frozen dataclass that says which users it is about, and decides.

    An Idempotency-Key is bound to `type` and to the fields that are not None.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    type: ClassVar[str]

    @property
    def username_keys(self) -> Sequence[str]:
        """The keys of the usernames that the decision depends on."""

    def decide(self, state: State) -> Event:
        """Return the one event that the command leads to. Raises a DomainError when it is refused."""
