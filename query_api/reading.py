"""How every question is asked: one statement, so that rows, generation and Read-Position are of one snapshot."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from shared.read_models import live_generation, schema_name
from shared.runtime.database import Pool, Record

logger = logging.getLogger(__name__)

ATTEMPTS = 3

WRAPPED = """
SELECT (SELECT generation FROM generations WHERE state = 'live') AS live, read_position({generation}) AS read_position,
       answer.*
FROM (SELECT true) AS once LEFT JOIN LATERAL (SELECT true AS found, q.* FROM ({query}) AS q) AS answer ON true
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """The rows of an answer, and the position up to which they are complete."""

    rows: Sequence[Record]
    position: int


class Reader:
    """Asks the live generation. Queries name its tables as `{g}.table`."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._generation = 0
        self._texts: dict[str, str] = {}

    async def read(self, query: str, *arguments: Any) -> Reading:  # noqa: ANN401 - whatever PostgreSQL takes
        """Return the answer of the generation that is live as it is given. Raises a database error."""
        async with self.pool.acquire() as connection:
            for _ in range(ATTEMPTS):
                if not self._generation:
                    self._switch(await live_generation(connection))
                try:
                    rows = await connection.fetch(self._text(query), *arguments)
                except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
                    # The generation was dropped after another had gone live.
                    self._switch(0)
                    continue
                if rows[0]["live"] == self._generation:
                    return Reading([row for row in rows if row["found"]], rows[0]["read_position"])
                self._switch(rows[0]["live"])
        message = "the live generation changed with every attempt"
        raise asyncpg.InterfaceError(message)

    def _switch(self, generation: int) -> None:
        self._generation = generation
        self._texts.clear()

    def _text(self, query: str) -> str:
        text = self._texts.get(query)
        if text is None:
            qualified = query.replace("{g}", schema_name(self._generation))
            text = WRAPPED.replace("{generation}", str(self._generation)).replace("{query}", qualified)
            self._texts[query] = text
        return text
