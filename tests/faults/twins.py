"""Broken twins: the system with one promise broken on purpose, to see that the harness notices.

`python -m tests.faults.twins TWIN MODULE …` starts a service so. `python -m tests.faults.twins` alone runs the harness
against every twin and writes what caught it into docs/reliability.md. A pause where the breakage lies makes a run
short; it adds no fault of its own.
"""

import asyncio
import importlib
import itertools
import sys
import tempfile
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka.errors import CorruptRecordException

from command_api import group_commit, idempotency
from command_api.decisions.achievements import DefineAchievement, TranslateAchievement
from command_api.decisions.awards import AwardAchievement, RevokeAward
from command_api.decisions.users import ChangeUser, CreateUser
from command_api.relay import lease
from projector import runner
from projector.batch import Batch
from projector.feeds import kafka, membership
from shared.event_store import appending
from shared.events.envelope import RecordedEvent
from shared.http.server import serve
from shared.runtime.database import Connection, OwnConnection, Role, connect
from shared.runtime.process import run as run_process
from tests.faults.run import Plan, commit_now, run
from tests.support.processes import ROOT

PAUSE = 0.05
ATTEMPTS = 3
KILLS = 10
DOCUMENT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- twins: written by make faults-twins -->", "<!-- end of twins -->"
NOTHING = "**nothing**"


def no_lock_on_the_head() -> None:
    """Take the head of the log without a lock."""
    appending.LOCK_HEAD = appending.LOCK_HEAD.replace("FOR UPDATE", "")  # type: ignore[misc]


def acknowledged_before_durable() -> None:
    """Let commits return before they are on disk."""

    async def relaxed(url: str, role: Role, settings: dict[str, str]) -> OwnConnection:
        return await connect(url, role, {**settings, "synchronous_commit": "off"})

    group_commit.connect = relaxed  # type: ignore[assignment,attr-defined]


def key_outside_the_transaction() -> None:
    """Remember the answer after the commit, and give events ids of their own."""
    inside = idempotency.remember
    commit = group_commit.Appender._commit
    waiting: list[Any] = []

    async def later(_connection: Connection, answers: Any, now: object) -> None:
        waiting.append((list(answers), now))

    async def commit_then_remember(self: Any, submissions: Any) -> Any:
        given = await commit(self, submissions)
        await asyncio.sleep(PAUSE)
        while waiting:
            await inside(await self._connected(), *waiting.pop())
        return given

    idempotency.remember = later  # type: ignore[assignment]
    idempotency.events_with_ids = nothing_appended  # type: ignore[assignment,attr-defined]
    idempotency._digest = lambda _key, _fingerprint: uuid.uuid4().bytes  # type: ignore[assignment]
    group_commit.Appender._commit = commit_then_remember  # type: ignore[method-assign]


async def nothing_appended(_connection: Connection, _ids: Sequence[uuid.UUID]) -> list[RecordedEvent]:
    """Find no event by its id."""
    return []


def checkpoint_outside_the_transaction() -> None:
    """Move the checkpoint first, and write the rows in a transaction of their own."""

    async def apply(self: Any, events: Batch) -> int:
        async with self._connection.transaction():
            await self._advance(events)
        await asyncio.sleep(PAUSE)
        return await _write_rows(self, events)

    runner.Runner._apply = apply  # type: ignore[method-assign]


def rows_before_the_checkpoint() -> None:
    """Write the rows first, and move the checkpoint in a transaction of its own."""

    async def apply(self: Any, events: Batch) -> int:
        filled = await _write_rows(self, events)
        await asyncio.sleep(PAUSE)
        async with self._connection.transaction():
            await self._advance(events)
        return filled

    runner.Runner._apply = apply  # type: ignore[method-assign]


async def _write_rows(self: Any, events: Batch) -> int:
    async with self._connection.transaction():
        filled = await events.fill(self._connection)
        await self._connection.execute("SELECT pg_temp.project()")
    return filled


def no_fencing() -> None:
    """Advance the checkpoint without a check of its epoch and its old position."""
    runner.ADVANCE = runner.ADVANCE.replace("AND p.position = a.old AND p.epoch = a.epoch", "")  # type: ignore[misc]
    project = runner.Runner.project

    async def slowly(self: Any, events: Batch) -> None:
        await asyncio.sleep(PAUSE)
        await project(self, events)

    runner.Runner.project = slowly  # type: ignore[method-assign]


def relay_without_its_epoch() -> None:
    """Publish beside another relay, and advance the checkpoint without a check of the lease."""
    lease.MOVE = lease.MOVE.replace("WHERE epoch = $1", "WHERE $1::bigint IS NOT NULL")  # type: ignore[misc]
    lease.MAY_WORK = "SELECT $1::float IS NOT NULL"  # type: ignore[misc]


def decisions_that_raise() -> None:
    """Let every hundredth decision raise."""
    numbers = itertools.count(1)

    def sometimes(decide: Any) -> Any:
        def decide_or_raise(command: Any, state: Any) -> Any:
            if next(numbers) % 100 == 0:
                raise RuntimeError("the hundredth")
            return decide(command, state)

        return decide_or_raise

    for command in (CreateUser, ChangeUser, DefineAchievement, TranslateAchievement, AwardAchievement, RevokeAward):
        command.decide = sometimes(command.decide)  # type: ignore[method-assign]


def records_believed_over_the_log() -> None:
    """Project every record that says a later position than the partition's own, wherever it lies."""

    async def none(_self: Any, _records: Any) -> dict[int, Exception]:
        return {}

    def believe(_self: Any, _partition: int, _event: Any) -> None:
        pass

    runner.Runner.false_claims = none  # type: ignore[method-assign,assignment]
    kafka.Consumption._check_partition = believe  # type: ignore[method-assign,assignment]


def stopped_by_what_cannot_be_read() -> None:
    """Start the consumer again at what it cannot read, and let the log give nothing."""

    async def raise_it(_consumer: Any, _where: Any) -> Any:
        raise CorruptRecordException

    async def nothing(_self: Any) -> bool:
        return False

    membership._read_past = raise_it  # type: ignore[assignment]
    kafka.Consumption._fill_in = nothing  # type: ignore[method-assign,assignment]


@dataclass(frozen=True, slots=True)
class Twin:
    """A breakage, and where the harness runs against it."""

    breakage: Callable[[], None]
    deployment: str = "kafka"
    faults: str = ""


TWINS = {
    twin.breakage.__name__.replace("_", "-"): twin
    for twin in (
        Twin(no_lock_on_the_head, faults="kill command_api"),
        Twin(acknowledged_before_durable, "embedded", "kill postmaster"),
        Twin(key_outside_the_transaction, faults="kill command_api"),
        Twin(checkpoint_outside_the_transaction, faults="kill projector"),
        Twin(rows_before_the_checkpoint, faults="kill projector"),
        Twin(no_fencing, faults="pause projector"),
        Twin(relay_without_its_epoch, faults="pause relay,kill relay"),
        Twin(decisions_that_raise, "embedded", "pause up"),
        Twin(records_believed_over_the_log, faults="foreign partition,kill relay"),
        Twin(stopped_by_what_cannot_be_read, faults="corrupt,kill relay"),
    )
}


def main() -> None:
    """Start a broken service, or try all twins."""
    if len(sys.argv) > 1:
        _start(sys.argv[1], sys.argv[2], sys.argv[3:])
        return
    commit = commit_now()
    rows = [f"| {name} | {_summary(twin)} | {_caught_by(name, twin)} |" for name, twin in TWINS.items()]
    table = "\n".join(["| twin | what it does | caught by |", "| --- | --- | --- |", *rows])
    before, rest = DOCUMENT.read_text().split(BEGIN)
    after = rest.split(END)[1]
    DOCUMENT.write_text(f"{before}{BEGIN}\nAt commit {commit}:\n\n{table}\n{END}{after}")
    sys.exit(1 if NOTHING in table else 0)


def _summary(twin: Twin) -> str:
    return (twin.breakage.__doc__ or "").rstrip(".")


def _start(twin: str, module: str, arguments: list[str]) -> None:
    TWINS[twin].breakage()
    sys.argv = [module, *arguments]
    if module == "cli.main":
        importlib.import_module(module).main()
        return
    app = importlib.import_module(f"{module}.main").app
    run_process(lambda settings: serve(app(settings), settings))


def _caught_by(name: str, twin: Twin) -> str:
    for seed in range(1, ATTEMPTS + 1):
        plan = Plan(
            deployment=twin.deployment,
            seed=seed,
            kills=KILLS,
            faults=[*filter(None, twin.faults.split(","))],
            twin=name,
        )
        with tempfile.TemporaryDirectory(prefix="laurels-twin-", ignore_cleanup_errors=True) as folder:
            try:
                account = asyncio.run(run(plan, Path(folder))).account
            except AssertionError as error:
                found = str(error).partition("\n")[0]
            else:
                figures = [f"{what}: {figure}" for what, figure in account.to_be_zero.items() if figure]
                found = ", ".join(figures or account.wrong[:1])
        print(f"{name}, seed {seed}: {found or NOTHING}", flush=True)
        if found:
            return f"{found} (seed {seed})"
    return NOTHING


if __name__ == "__main__":
    main()
