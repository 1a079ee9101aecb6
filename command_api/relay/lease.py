"""The relay's lease: which relay publishes, and how far the log is published.

The lock is free as soon as its holder ends; the lease runs out where the holder hangs. The epoch fences.
"""

from dataclasses import dataclass
from typing import Final

from shared.event_store.log import head_position
from shared.runtime.database import Connection
from shared.runtime.stalls import Stalls

LEASE_SECONDS: Final = 5.0
"""How long a relay that has stopped, but not ended, keeps others waiting."""

MAY_WORK: Final = """
SELECT pg_try_advisory_lock(hashtext('laurels relay'))
    OR (SELECT renewed_at < now() - make_interval(secs => $1) FROM write_model.relay_lease)
"""
TAKE_LEASE: Final = """
UPDATE write_model.relay_lease SET epoch = epoch + 1, renewed_at = now(), topic = $1
RETURNING epoch, position, partition_positions
"""
RENEW: Final = "UPDATE write_model.relay_lease SET renewed_at = now() WHERE epoch = $1"
MOVE: Final = """
UPDATE write_model.relay_lease SET position = $2, partition_positions = $3, trouble = NULL WHERE epoch = $1
"""
TELL: Final = "UPDATE write_model.relay_lease SET trouble = $2 WHERE epoch = $1"
PUBLISHED: Final = "SELECT position, trouble FROM write_model.relay_lease"
ONE: Final = "UPDATE 1"


class LeaseLost(Exception):
    """Another relay took the lease, or an operator sent this one back."""


@dataclass(slots=True)
class Lease:
    """How far the log is published, overall and in each partition."""

    epoch: int
    position: int
    partition_positions: list[int]


async def may_publish(connection: Connection) -> bool:
    """Return whether the lease is free for this session, because no relay works or the one that does hangs."""
    return bool(await connection.fetchval(MAY_WORK, LEASE_SECONDS))


async def take(connection: Connection, topic: str) -> Lease:
    """Take the lease, under a new epoch, to publish to a topic."""
    row = await connection.fetchrow(TAKE_LEASE, topic)
    if row is None:
        message = "the relay's lease is missing: the migrations did not finish"
        raise LookupError(message)
    return Lease(**row)


async def renew(connection: Connection, epoch: int) -> bool:
    """Keep the lease for LEASE_SECONDS more; return whether it is still of this epoch."""
    return await connection.execute(RENEW, epoch) == ONE


async def move(connection: Connection, lease: Lease) -> None:
    """Write down how far the log is published. Raises LeaseLost."""
    if await connection.execute(MOVE, lease.epoch, lease.position, lease.partition_positions) != ONE:
        raise LeaseLost


async def tell(connection: Connection, epoch: int, trouble: str) -> None:
    """Write down what keeps the relay from publishing, unless another has the lease."""
    await connection.execute(TELL, epoch, trouble)


class Watch:
    """Watches, from the database alone, whether publishing goes on, no matter which relay does it."""

    def __init__(self) -> None:
        self._stalls: Stalls[str] = Stalls()
        self._words = ""

    async def look(self, connection: Connection) -> None:
        """Note how far the log is published."""
        if row := await connection.fetchrow(PUBLISHED):
            head = await head_position(connection)
            self._stalls.note({"published": row["position"]} if row["position"] < head else {})
            reason = f": {row['trouble']}" if row["trouble"] else ""
            self._words = f"the log is published up to {row['position']} of {head}{reason}"

    @property
    def trouble(self) -> str | None:
        """That nothing is published though there is something, None if all is well."""
        stalled = self._stalls.stalled
        return f"no progress for {stalled['published']:.0f} s: {self._words}" if stalled else None
