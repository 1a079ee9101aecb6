"""Commands: what follows from their classes agrees, and no list of them is kept by hand."""

from typing import Any, get_args, get_type_hints

import pytest

from command_api.schemas import BULK_COMMANDS, bulk_command
from shared.events.codec import SCHEMA_VERSIONS, UPCASTERS
from shared.events.types import EVENT_TYPES, Event

CONTEXT = {"languages": frozenset({"en"})}
TEXT = {"achievement_name": "First run", "achievement_description": "", "achievement_language": "en"}
EXAMPLES: dict[str, dict[str, Any]] = {
    "create-user": {"username": "Ada", "user_language": "en"},
    "change-user": {"username": "Ada", "new_username": "Bob"},
    "define-achievement": TEXT,
    "translate-achievement": {**TEXT, "achievement_id": 1},
    "award-achievement": {"username": "Ada", "achievement_id": 1},
    "revoke-award": {"award_id": 1},
}


def test_bulk_requests_know_every_command() -> None:
    """The registry has the models by the type that they take, in the order of the document."""
    assert list(EXAMPLES) == list(BULK_COMMANDS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_command_agrees_with_its_schema(name: str) -> None:
    """Both have one type, which Idempotency-Keys are bound to, and one event that the command leads to."""
    command = bulk_command({"type": name, **EXAMPLES[name]}, CONTEXT).command()
    assert name == command.type
    assert BULK_COMMANDS[name].leads_to is get_type_hints(type(command).decide)["return"]


def test_every_event_has_a_command_that_leads_to_it() -> None:
    """Otherwise no log with it could be restored."""
    assert sorted(EVENT_TYPES) == sorted(model.leads_to.type for model in BULK_COMMANDS.values())


def test_what_is_true_of_an_event_type_follows_from_its_class() -> None:
    """Names are those of the union, and the newest version is the one after the last upcaster."""
    assert {cls.type: cls for cls in get_args(Event)} == EVENT_TYPES
    assert {name: len(cls.upcasters) + 1 for name, cls in EVENT_TYPES.items()} == SCHEMA_VERSIONS
    assert {(name, n) for name, newest in SCHEMA_VERSIONS.items() for n in range(1, newest)} == UPCASTERS.keys()


@pytest.mark.parametrize(
    ("name", "users"),
    [
        ("create-user", ("ada",)),
        ("change-user", ("ada", "bob")),
        ("define-achievement", ()),
        ("award-achievement", ("ada",)),
        ("revoke-award", ()),
    ],
)
def test_a_command_says_which_users_it_depends_on(name: str, users: tuple[str, ...]) -> None:
    """Only they are loaded for the decision: an unloaded holder of a new name would be one that it does not have."""
    assert users == tuple(bulk_command({"type": name, **EXAMPLES[name]}, CONTEXT).command().username_keys)
