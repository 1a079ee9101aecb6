"""The JSON that commands come in, checked field by field and turned into commands: a file a concept."""

from typing import Final

from command_api.schemas import achievements, awards, users
from command_api.schemas.fields import BulkCommand, Context
from shared.http.problems import InputError, invalid_input
from shared.http.strict_json import validate

CONCEPTS: Final = (users, achievements, awards)

BULK_COMMANDS: Final[dict[str, type[BulkCommand]]] = {
    found.type_name(): found
    for concept in CONCEPTS
    for found in vars(concept).values()
    if isinstance(found, type) and issubclass(found, BulkCommand) and found is not BulkCommand
}
"""Every command of `POST /commands`, by its type."""


def bulk_command(value: object, context: Context) -> BulkCommand:
    """Return one command of a bulk request. Raises a 400 Problem."""
    kind = value.get("type") if isinstance(value, dict) else None
    model = BULK_COMMANDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        pointer = "/type" if isinstance(value, dict) else ""
        raise invalid_input(
            InputError(pointer, f"A command is an object whose type is one of: {', '.join(BULK_COMMANDS)}.")
        )
    return validate(model, value, context=context)
