"""What a projection is."""

from dataclasses import dataclass

import sqlalchemy as sa


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """A read model: its tables, and the statements that fold the relation `batch` into them, in order.

    They run for a batch that has an event of `types`; other batches change nothing here. Their names are unqualified: a
    session's search_path says which generation they mean. What one projection tells another within a batch ties them:
    with those in `tied_to` it can only be rebuilt together. Tables in `keyed_late` need their key for what comes after
    the statements only: while they are empty, a bulk load makes it from all rows at once.
    """

    name: str
    tables: tuple[sa.Table, ...]
    types: tuple[str, ...]
    statements: tuple[str, ...]
    tied_to: tuple[str, ...] = ()
    keyed_late: tuple[sa.Table, ...] = ()
