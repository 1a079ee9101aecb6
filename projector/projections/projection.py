"""What a projection is."""

from dataclasses import dataclass

import sqlalchemy as sa


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """A read model: its tables, and the statements that fold the relation `batch` into them, in order.

    What one projection tells another within a batch ties them: with those in `tied_to` it can only be rebuilt together.
    Names in `statements` are unqualified: a session's search_path says which generation they mean.
    """

    name: str
    tables: tuple[sa.Table, ...]
    statements: tuple[str, ...]
    tied_to: tuple[str, ...] = ()
