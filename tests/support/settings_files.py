"""What follows from the settings: `.env.example`, and what compose.yaml passes on. `make settings` writes both."""

import re

from shared.runtime.settings import Settings
from tests.support.processes import ROOT

EXAMPLE = ROOT / ".env.example"
COMPOSE = ROOT / "compose.yaml"
HEAD = "# Every setting of Laurels with its default. Copy this file to .env and take the # off what you change.\n"
TAIL = """
# Only for compose.yaml: the database's password; fixed when the database is made.
#POSTGRES_PASSWORD=laurels
"""
NOT_IN_COMPOSE = {"LAURELS_DATA_DIR"}
"""The embedded PostgreSQL does not run there."""
PASSED_ON = re.compile(r"(?P<begin>    # Written by `make settings`[^\n]*\n).*?(?=    # End\n)", re.DOTALL)


def example() -> str:
    """Return every setting with its sentence and its default, commented out."""
    settings = Settings.model_fields.items()
    return HEAD + "".join(f"\n# {field.description}\n#{_name(key)}={field.default}\n" for key, field in settings) + TAIL


def compose() -> str:
    """Return compose.yaml with each setting that it has no value of its own for taken from .env, else the default."""
    text = COMPOSE.read_text()
    by_hand = PASSED_ON.sub("", text)
    lines = [
        f"    {_name(key)}: ${{{_name(key)}:-{field.default}}}\n"
        for key, field in Settings.model_fields.items()
        if _name(key) not in NOT_IN_COMPOSE and f"    {_name(key)}: " not in by_hand
    ]
    return PASSED_ON.sub(lambda found: found["begin"] + "".join(lines), text)


def _name(key: str) -> str:
    return f"LAURELS_{key.upper()}"


if __name__ == "__main__":
    EXAMPLE.write_text(example())
    COMPOSE.write_text(compose())
