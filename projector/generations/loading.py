"""Ways to fill a new generation: in bulk from the log, from Kafka, or by copying what stays as it is."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiokafka.errors import KafkaError

from projector.batch import Batch, Held
from projector.feeds.event_store import BATCH_LIMIT
from projector.feeds.kafka import Consumption
from projector.feeds.membership import Member
from projector.generations.verification import fill_applied
from projector.log_batch import LogBatch
from projector.runner import Amendment, Bulk, Runner, open_session
from shared.event_store.log import head_position, read_position
from shared.read_models.generations import schema_name
from shared.read_models.read_model import ReadModel
from shared.read_models.registry import READ_MODELS, rebuilt_with
from shared.runtime.background import background
from shared.runtime.database import Role, connect
from shared.runtime.kafka import WrongTopic
from shared.runtime.settings import Settings
from shared.runtime.sql import sql

BULK_LIMIT: Final = 10_000_000
"""Positions in one transaction: every user's rows are written once for each, so the fewer of them, the quicker."""
NEARLY: Final = 1_000
"""So few events behind, a generation is left to the projectors."""
PASSES: Final = 20

BEGUN: Final = "SELECT max(position) > 0 FROM progress WHERE generation = $1"
Moved = Callable[[int], Awaitable[None]]
"""Is told the position that the generation has reached."""


async def no_report(_position: int) -> None:
    """Tell nobody."""


class NoKafka(Exception):
    """The topic cannot be read; the message is one sentence."""


async def load_from_log(
    url: str,
    generation: int,
    target: int,
    moved: Moved = no_report,
    amendments: Sequence[Amendment] = (),
    models: Sequence[ReadModel] = READ_MODELS,
) -> None:
    """Fold the log up to a position in very large batches; goes on after the last that was finished."""

    async def stepped(events: Batch, share: float) -> None:
        first = min(advance.old for advance in events.advances)
        await moved(first + int(events.size * share))

    runner = await Runner.open(url, generation, models, bulk=Bulk(stepped, amendments))
    try:
        held, _ = await runner.take_over()
        await _fold(runner, held, BULK_LIMIT, target, moved)
    finally:
        runner.close()


async def catch_up(url: str, generation: int, moved: Moved, models: Sequence[ReadModel] = READ_MODELS) -> None:
    """Fold what has come meanwhile, until next to nothing is left."""
    reader = await connect(url, Role.PROJECTOR)
    runner = await Runner.open(url, generation, models)
    try:
        held, _ = await runner.take_over()
        for _ in range(PASSES):
            head = await head_position(reader)
            behind = head - min(at.position for at in held.values())
            held = await _fold(runner, held, BATCH_LIMIT, head, moved)
            if behind < NEARLY:
                break
    finally:
        runner.close()
        reader.terminate()


async def _fold(runner: Runner, held: dict[int, Held], limit: int, target: int, moved: Moved) -> dict[int, Held]:
    after = min(at.position for at in held.values())
    while after < target:
        events = LogBatch(after, min(after + limit, target), held, len(held))
        await runner.project(events)
        after, held = events.upto, events.held_afterwards
        await moved(after)
    return held


async def load_from_kafka(
    settings: Settings, generation: int, moved: Moved, models: Sequence[ReadModel] = READ_MODELS
) -> None:
    """Fold the topic from its beginning until everything is there that the log has now.

    What the topic lacks is taken from the log, as always. Raises NoKafka; what has come by then stays.
    """
    try:
        await _consume(settings, generation, moved, models)
    except WrongTopic as error:
        raise NoKafka(f"Kafka cannot be read: {error}") from error
    except KafkaError as error:
        where = settings.kafka_bootstrap_servers
        raise NoKafka(f"Kafka cannot be read at {where}: {type(error).__name__}.") from error


async def _consume(settings: Settings, generation: int, moved: Moved, models: Sequence[ReadModel]) -> None:
    reader = await connect(settings.database_url, Role.PROJECTOR)
    runner = await Runner.open(settings.database_url, generation, models)
    member = Member(settings, generation)
    consumption = Consumption(member)
    try:
        await consumption.resume(reader, runner)
        async with background(member.run()):
            target = await head_position(reader)
            while (position := await read_position(reader, generation)) < target:
                await consumption.step()
                await moved(position)
                if member.failure:
                    raise member.failure
            await moved(target)
    finally:
        runner.close()
        reader.terminate()


async def load_one(
    url: str, generation: int, served: int, name: str, models: Sequence[ReadModel] = READ_MODELS
) -> None:
    """Recompute one read model, with those it is tied to, up to where the served generation is; copy the others."""
    chosen = rebuilt_with(name, models)
    copied = [model.table.name for model in models if model not in chosen]
    connection = await open_session(url, generation, models, large=True)
    try:
        # One snapshot, so that rows and progress belong together.
        async with connection.transaction(isolation="repeatable_read"):
            if await connection.fetchval(BEGUN, generation):
                # All of it is there, from a rebuild that was interrupted right after.
                return
            for table in copied:
                await connection.execute(f"INSERT INTO {table} SELECT * FROM {schema_name(served)}.{table}")  # noqa: S608 - our own names
            for statement in (sql("projector.sql", "copy_progress"), sql("projector.sql", "copy_quarantine")):
                await connection.execute(statement, generation, served)
            await fill_applied(connection, generation)
            for model in chosen:
                await connection.execute(f"SELECT pg_temp.fold_{model.name}()")
    finally:
        connection.terminate()
