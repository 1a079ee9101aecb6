"""A `laurels rebuild` that kills itself, as `kill -9` does, at a moment that a test names.

`python -m tests.support.killed MOMENT rebuild …` runs the command line so; the moments are those of `MOMENTS`.
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from cli.main import main
from projector import runner
from projector.feeds import kafka
from projector.generations import lifecycle as generation
from projector.generations import loading, rebuild, verification

RANGE: Final = 1_000


def _die(*_arguments: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def _die_in_time(*_arguments: object) -> None:
    _die()


def in_the_load() -> None:
    """Die in the transaction of the second range of the log, with the first one committed."""
    loading.BULK_LIMIT = RANGE  # type: ignore[misc]
    begun: list[object] = []

    async def second_time(_self: object, _connection: object) -> None:
        begun.append(None)
        if len(begun) > 1:
            _die()

    runner.Bulk.prepare = second_time  # type: ignore[assignment,method-assign]


def in_the_load_from_kafka() -> None:
    """Die once something has come from the topic, with more to come."""
    kafka.BATCH_LIMIT = RANGE  # type: ignore[misc]
    step = kafka.Consumption.step

    async def first_that_brings_something(self: kafka.Consumption) -> bool:
        brought = await step(self)
        if brought:
            _die()
        return brought

    kafka.Consumption.step = first_that_brings_something  # type: ignore[method-assign]


def after_the_load() -> None:
    """Die when everything is loaded and nobody has noted it yet."""
    rebuild._Rebuild._load = _then_die(rebuild._Rebuild._load)  # type: ignore[method-assign]


def in_the_indexes() -> None:
    """Die in the transaction that makes the indexes."""
    rebuild._Rebuild._after = _die  # type: ignore[assignment,method-assign]


def after_the_indexes() -> None:
    """Die when the indexes are there."""
    rebuild._Rebuild._index = _then_die(rebuild._Rebuild._index)  # type: ignore[method-assign]


def in_the_verification() -> None:
    """Die before the first table is compared."""
    verification._check = _die_in_time  # type: ignore[assignment]


def after_the_verification() -> None:
    """Die when nothing was found to differ."""
    rebuild._Rebuild._verify = _then_die(rebuild._Rebuild._verify)  # type: ignore[method-assign]


def in_the_catching_up() -> None:
    """Die when the generation has caught up, and no projector follows it yet."""
    rebuild.hand_over = _die_in_time  # type: ignore[assignment,attr-defined]


def after_the_catching_up() -> None:
    """Die when projectors follow the generation."""
    rebuild._Rebuild._catch_up = _then_die(rebuild._Rebuild._catch_up)  # type: ignore[method-assign]


def in_the_switch() -> None:
    """Die in the transaction that switches, while the live generation is held up."""
    generation._wait_until_level = _die_in_time  # type: ignore[assignment]


def after_the_switch() -> None:
    """Die when reads are served from the new generation, and nobody has noted that it is done."""
    rebuild._Rebuild._switch = _then_die(rebuild._Rebuild._switch)  # type: ignore[method-assign]


def _then_die(work: Callable[..., Any]) -> Any:  # noqa: ANN401 - stands for methods of several signatures
    async def worked(*arguments: object) -> None:
        await work(*arguments)
        _die()

    return worked


MOMENTS: Final[Mapping[str, Callable[[], None]]] = {
    moment.__name__.replace("_", " "): moment
    for moment in (
        in_the_load,
        after_the_load,
        in_the_indexes,
        after_the_indexes,
        in_the_verification,
        after_the_verification,
        in_the_catching_up,
        after_the_catching_up,
        in_the_switch,
        after_the_switch,
        in_the_load_from_kafka,
    )
}

if __name__ == "__main__":
    MOMENTS[sys.argv[1]]()
    sys.argv = ["laurels", *sys.argv[2:]]
    main()
