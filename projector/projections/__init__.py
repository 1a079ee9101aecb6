"""The read models, one file each: a table, and the statements that fold `batch` into it.

Every statement works on sets, and gives the same rows however the events are cut into batches. They run in the order of
`PROJECTIONS`, in one transaction with the checkpoint: `totals` and `streaks` ask `user_awards` what still stands
when an award was revoked.
"""

from typing import Final

from projector.projections import achievements, difference, incomplete, streaks, totals, user_awards, users
from projector.projections.projection import Projection

PROJECTIONS: tuple[Projection, ...] = (
    users.PROJECTION,
    achievements.PROJECTION,
    user_awards.PROJECTION,
    totals.PROJECTION,
    streaks.PROJECTION,
    difference.PROJECTION,
    incomplete.PROJECTION,
)

STATEMENTS: Final = tuple(statement for projection in PROJECTIONS for statement in projection.statements)

__all__ = ["PROJECTIONS", "STATEMENTS", "Projection"]
