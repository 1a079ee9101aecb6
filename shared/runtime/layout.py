"""Which revision of the database's migrations this code needs, and which it does not know how to serve."""

import contextlib
from typing import Final

from shared.runtime.database import FAILURES, connect

HEAD_REVISION: Final = "v1_0001"
"""The migration that this code needs; a test holds it to the newest one in `alembic/versions`."""
EARLIER: Final = frozenset({"0001", "0002", "0003", "0004"})
"""The revisions of the development versions before it."""
MADE_EARLIER: Final = (
    "the database was made by an earlier development version of Laurels; export it with that version "
    "(`laurels export`) and restore it into a new data folder or database (`laurels restore`)"
)
REVISION: Final = "SELECT version_num FROM alembic_version"


class EarlierLayout(Exception):
    """The message is one sentence for the operator."""


def missing(revision: str | None) -> str | None:
    """Say what keeps this code from serving a database of this revision, None if nothing does."""
    if revision in EARLIER:
        return MADE_EARLIER
    return None if revision and revision >= HEAD_REVISION else f"migration {HEAD_REVISION} is missing"


async def refuse_earlier(url: str) -> None:
    """Raise EarlierLayout over a database of a development version; one that does not answer is left to `/ready`."""
    with contextlib.suppress(*FAILURES):
        connection = await connect(url)
        try:
            revision = await connection.fetchval(REVISION)
        finally:
            connection.terminate()
        if revision in EARLIER:
            raise EarlierLayout(f"This service cannot start: {MADE_EARLIER}.")
