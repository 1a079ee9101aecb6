"""Derives the whole write model from the log, in SQL, as a restore needs it."""

from typing import Final

import asyncpg

from shared.runtime.database import Connection
from shared.runtime.sql import sql

CHECKS: Final = {
    "unfounded_revocation": "it revokes what is no award of this user",
    "repeated_revocation": "the award that it revokes is revoked already",
}
DERIVED: Final = ("users", "achievements", "texts", "revocations", "holdings")


class ContradictoryFacts(ValueError):
    """The events cannot be a log; the message says why, and in which line, without a full stop."""


async def derive(connection: Connection) -> None:
    """Fill the empty write model from `facts`. Raises ContradictoryFacts."""
    for check, wrong in CHECKS.items():
        if (line := await connection.fetchval(sql(__package__, check))) is not None:
            raise ContradictoryFacts(f"line {line}: {wrong}")
    try:
        for table in DERIVED:
            await connection.execute(sql(__package__, f"derive_{table}"))
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
        raise ContradictoryFacts(
            f"it contradicts itself: {error.as_dict().get('detail') or error}".rstrip(".")
        ) from error
