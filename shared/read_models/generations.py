"""Which generation is served, and how far it is."""

from typing import Final

from shared.read_models import registry
from shared.runtime.database import ReadSession

VERSION: Final = registry.version()
"""That of the read models which this code fills and reads."""

# While versions change, services of the older one go on with its generation for as long as it is followed.
SERVED: Final = f"""
SELECT generation FROM generations WHERE state <> 'building'
ORDER BY version = {VERSION} DESC, state = 'live' DESC, generation DESC LIMIT 1
"""  # noqa: S608 - put together from constants
"""The generation that this version of the code reads: the live one, unless that is of another version."""


def schema_name(generation: int) -> str:
    """Return the PostgreSQL schema that holds a generation's tables."""
    return f"generation_{generation}"


async def served_generation(connection: ReadSession) -> int:
    """Return the number of the generation that reads are served from."""
    return int(await connection.fetchval(SERVED))


async def visible_position(connection: ReadSession) -> int:
    """Return the Read-Position of the served generation: every event up to it is in the read models."""
    return int(await connection.fetchval(f"SELECT read_position(({SERVED}))"))


TROUBLE_SECONDS: Final = 10
PARTITION_TROUBLES: Final = f"""
SELECT partition, cause FROM partition_troubles
WHERE generation = $1 AND noted_at > now() - interval '{TROUBLE_SECONDS} seconds' ORDER BY partition
"""  # noqa: S608 - put together from constants
"""What holds up a generation's partitions now, as the projectors say it."""
