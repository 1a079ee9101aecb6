"""What a read model is: one table, and the SQL beside it."""

from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files

import sqlalchemy as sa

from shared.runtime.sql import sql


class Owner(StrEnum):
    """The column that says whose a row is; a row without one sums up many users."""

    USER = "user_id"
    ACHIEVEMENT = "achievement_id"
    NONE = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadModel:
    """A table that follows from the event log, and how.

    `package` is the folder with the SQL. `fold.sql` makes the function `pg_temp.fold_NAME()`, which folds the relation
    `batch` into the table, so that any cut of the log into batches gives the same rows. `definition.sql` computes the
    whole table from `batch` by other means, for `laurels verify`; it may read `defined_OTHER` of a read model it comes
    after. `withdraw.sql`, if there is one, runs before the rows of the owner `$1` are deleted.

    The fold runs for batches with an event of `event_types`, and after those of `after`. With `fed_by`, it reads what
    these leave in the same batch, so they are only rebuilt together. `version` is raised when the fold or the table
    changes. With `keyed_late`, a bulk load adds the primary key after the rows.
    """

    package: str
    table: sa.Table
    event_types: tuple[str, ...]
    owner: Owner
    after: tuple[str, ...] = ()
    fed_by: tuple[str, ...] = ()
    version: int = 1
    keyed_late: bool = False

    @property
    def name(self) -> str:
        """The name of the folder, by which operators call it."""
        return self.package.rpartition(".")[2]

    @property
    def follows_from_log(self) -> bool:
        """Whether events are folded into it; the other kind is written by the quarantine."""
        return bool(self.event_types)

    @property
    def fold(self) -> str:
        """The statement that makes the fold's function."""
        return self._sql("fold")

    @property
    def definition(self) -> str:
        """The query whose rows the table has to have, columns in order."""
        return self._sql("definition")

    @property
    def withdraw(self) -> str:
        """The statement that takes an owner's rows out of what is fed by them, empty if nothing is."""
        return self._sql("withdraw")

    def _sql(self, name: str) -> str:
        return sql(self.package, name) if files(self.package).joinpath(f"{name}.sql").is_file() else ""
