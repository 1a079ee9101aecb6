"""Sends the relay back, to fill a topic that was lost or is new."""

from typing import Final

from shared.runtime.database import Connection

# The epoch moves with it, so that the relay at work drops what it holds and starts from here.
SEND_BACK: Final = """
UPDATE write_model.relay_lease l SET epoch = epoch + 1, position = $1, partition_positions = ARRAY(
    SELECT coalesce((SELECT max(e.position) FROM events e WHERE e.partition = p AND e.position <= $1), 0)
    FROM generate_series(0, cardinality(l.partition_positions) - 1) AS p ORDER BY p)
WHERE $1 <= (SELECT position FROM log_head)
"""


class BeyondTheLog(ValueError):
    """The log does not reach so far."""


async def republish(connection: Connection, first: int) -> None:
    """Have the relay publish again from this position on. Raises BeyondTheLog."""
    if await connection.execute(SEND_BACK, first - 1) != "UPDATE 1":
        raise BeyondTheLog(f"The log ends before position {first}.")
