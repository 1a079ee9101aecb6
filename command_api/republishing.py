"""Sends the relay back, to fill a topic that was lost or is new."""

from typing import Final

from shared.event_store.log import partition_positions_at
from shared.runtime.database import Connection

# A new epoch makes the relay at work drop what it holds and start from here.
SEND_BACK: Final = "UPDATE write_model.relay_lease SET epoch = epoch + 1, position = $1, partition_positions = $2"


class BeyondTheLog(ValueError):
    """The log does not reach so far."""


async def republish(connection: Connection, first: int) -> None:
    """Have the relay publish again from this position on. Raises BeyondTheLog."""
    published = await partition_positions_at(connection, first - 1)
    if published is None:
        raise BeyondTheLog(f"The log ends before position {first}.")
    await connection.execute(SEND_BACK, first - 1, published)
