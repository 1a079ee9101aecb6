"""How every question is asked: one statement, so that rows, generation and Read-Position are of one snapshot."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from shared.read_models import SERVED, schema_name, served_generation
from shared.runtime.database import Pool, Record

logger = logging.getLogger(__name__)

ATTEMPTS = 3

WRAPPED = f"""
SELECT ({SERVED}) AS served, read_position({{generation}}) AS read_position, answer.*
FROM (SELECT true) AS once LEFT JOIN LATERAL (SELECT true AS found, q.* FROM ({{query}}) AS q) AS answer ON true
"""  # noqa: S608 - put together from constants


@dataclass(frozen=True, slots=True)
class Reading:
    """The rows of an answer, and the position up to which they are complete."""

    rows: Sequence[Record]
    position: int


class Reader:
    """Asks the generation that is served. Queries name its tables as `{g}.table`."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._generation = 0
        self._texts: dict[str, str] = {}

    async def read(self, query: str, *arguments: Any) -> Reading:  # noqa: ANN401 - whatever PostgreSQL takes
        """Return the answer of the generation that is served as it is given. Raises a database error."""
        async with self.pool.acquire() as connection:
            for _ in range(ATTEMPTS):
                if not self._generation:
                    self._switch(await served_generation(connection))
                try:
                    rows = await connection.fetch(self._text(query), *arguments)
                except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
                    # The generation was dropped after another had taken its place.
                    self._switch(0)
                    continue
                if rows[0]["served"] == self._generation:
                    return Reading([row for row in rows if row["found"]], rows[0]["read_position"])
                self._switch(rows[0]["served"])
        message = "the served generation changed with every attempt"
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
