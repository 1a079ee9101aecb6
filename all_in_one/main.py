"""Composition root of the embedded default: the three services in one process, over a PostgreSQL of their own."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import command_api.main
import command_api.relay.main
import command_api.routes
import projector.main
import query_api.main
from all_in_one.disk import Disk
from all_in_one.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
from all_in_one.instance import Instance, announced
from all_in_one.migrations import migrate
from projector import admin
from projector.admin import OperatorsOnly, administration
from projector.generations.rebuild import ENDINGS, renew
from shared.http.app import Application, Serving, create_app
from shared.http.gauges import refresh_positions
from shared.http.operations import Check, operations
from shared.http.protection import Protection
from shared.http.server import Server, bind, server, stop_signal
from shared.read_models.visibility import VisibilityWatermark
from shared.runtime.background import background
from shared.runtime.database import Role, open_pool
from shared.runtime.settings import Settings, Transport


class Stopped(Exception):
    """The message is one sentence for the operator: why the service ended by itself."""


def app(
    settings: Settings, *, alone: bool, instance: str | None = None, checks_too: Mapping[str, Check] | None = None
) -> Application:
    """Return all services as one application; `alone` if no other process serves their database.

    `instance` is the id that `/health` shows, `checks_too` are asked by `/ready` beside the services' own.
    """
    watermark, protection = VisibilityWatermark(), Protection(settings)

    @contextlib.asynccontextmanager
    async def start(_app: Application) -> AsyncIterator[Serving]:
        async with contextlib.AsyncExitStack() as stack:
            commands, ready = await stack.enter_async_context(command_api.main.commands(settings, watermark))
            reads, found = await stack.enter_async_context(query_api.main.reading(settings, watermark, alone=alone))
            projecting, warnings = await stack.enter_async_context(projector.main.projecting(settings))
            pool = await stack.enter_async_context(open_pool(settings.database_url, Role.PROJECTOR, size=2))
            made = await stack.enter_async_context(administration(settings, pool))
            ready.update(projecting, statistics=found["statistics"], **(checks_too or {}))
            if settings.transport is Transport.KAFKA:
                _, relaying = await stack.enter_async_context(command_api.relay.main.relaying(settings))
                ready.update(relaying)
            refresh = partial(refresh_positions, reads.pool)
            routes = [
                *reads.routes,
                *command_api.routes.ROUTES.bound_to(commands),
                *operations(ready, refresh, warnings, instance).routes,
                *admin.ROUTES.bound_to(OperatorsOnly(made, protection)),
            ]
            yield Serving(routes, reads.middleware)

    return create_app(start, protection)


async def up(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve until a signal says stop.

    Raises PortTaken, EmbeddedPostgresError, MigrationError or Stopped, each with one sentence for the operator.
    """
    listener = bind(settings)
    with stop_signal() as stop:
        started = asyncio.Event()
        work = asyncio.create_task(_up(settings, listener, announce, started, stop))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([work, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not started.is_set() and stop.is_set():
            work.cancel()
            await asyncio.wait([work])
        else:
            await work


async def _up(
    settings: Settings,
    listener: socket.socket,
    announce: Callable[[str], None],
    started: asyncio.Event,
    stop: asyncio.Event,
) -> None:
    async with _database(settings) as (url, death), contextlib.AsyncExitStack() as stack:
        configured = settings.model_copy(update={"database_url": url})
        disk = None if settings.database_url else Disk(settings.data_dir, url)
        if disk:
            await disk.open()
        await asyncio.to_thread(migrate, url, settings.partitions)
        await _renew(configured, announce)
        if disk:
            await stack.enter_async_context(background(disk.run()))
        started.set()
        instance = Instance(_base_url(settings, listener.getsockname()[1]))
        # Over a database of its own, the data folder's lock lets no other process in.
        alone = not settings.database_url
        with announced(settings.data_dir, instance) if alone else contextlib.nullcontext():
            found = {"disk": disk.check} if disk else {}
            running = server(app(configured, alone=alone, instance=instance.instance, checks_too=found))
            tasks = [
                asyncio.create_task(running.serve(sockets=[listener])),
                asyncio.create_task(stop.wait()),
                asyncio.create_task(death()),
                asyncio.create_task(_announce(running, lambda: announce(_banner(settings, instance.base_url)))),
            ]
            serving, stopping, dying, announcing = tasks
            await asyncio.wait([serving, stopping, dying], return_when=asyncio.FIRST_COMPLETED)
            running.stop()
            await serving
            for task in (stopping, announcing):
                task.cancel()
            if dying.done():
                raise Stopped(str(dying.result()))
            dying.cancel()


async def _renew(settings: Settings, announce: Callable[[str], None]) -> None:
    try:
        await renew(settings, announce)
    except ENDINGS as error:
        raise Stopped(str(error)) from error


@contextlib.asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[tuple[str, Callable[[], Coroutine[Any, Any, str]]]]:
    """Yield the URL of the database, and what waits until it dies underneath and then says so."""
    if settings.database_url:
        yield settings.database_url, _never
        return
    postgres = EmbeddedPostgres(settings.data_dir)
    connection = await postgres.start()
    try:
        yield connection.url, postgres.wait_for_death
    finally:
        await postgres.stop()


async def _announce(running: Server, announce: Callable[[], None]) -> None:
    await running.serving.wait()
    announce()


async def _never() -> str:
    await asyncio.Event().wait()
    return ""


def _base_url(settings: Settings, port: int) -> str:
    host = "localhost" if settings.host in {"127.0.0.1", "0.0.0.0", "::", "::1"} else settings.host  # noqa: S104 - compared, not bound
    return f"http://{host}:{port}"


def _banner(settings: Settings, base_url: str) -> str:
    where = "the database of LAURELS_DATABASE_URL" if settings.database_url else str(settings.data_dir.resolve())
    return (
        f"Laurels listens on {base_url} (API below /api/v1, documentation at /docs).\n"
        f"The data lies in {where}.\n"
        "Try:\n"
        f'  curl -H \'Content-Type: application/json\' -d \'{{"username": "ada", "user_language": "en"}}\' '
        f"{base_url}/api/v1/users/\n"
        f"  curl {base_url}/api/v1/users/ada/\n"
        "Ctrl-C stops it; the data stays."
    )


__all__ = ["EmbeddedPostgresError", "Stopped", "app", "up"]
