"""How a process starts: logging, the event loop, and errors that an operator can read."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import uvloop
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from shared.runtime import environment
from shared.runtime.layout import EarlierLayout, refuse_earlier
from shared.runtime.repeats import Repeats
from shared.runtime.settings import Settings

ENV_FILE = Path(".env")


class PortTaken(Exception):
    """The message is one sentence for the operator."""


def run(main: Callable[[Settings], Coroutine[Any, Any, None]]) -> None:
    """Run a service's main coroutine with the settings of the environment; exit with 1 and a sentence if it cannot."""
    settings = load_settings()
    if not settings.database_url:
        sys.exit("LAURELS_DATABASE_URL is not set: this service needs a PostgreSQL. `laurels up` brings its own.")
    configure_logging(settings)
    try:
        uvloop.run(_start(main, settings))
    except (PortTaken, EarlierLayout) as error:
        sys.exit(str(error))
    except (KeyboardInterrupt, asyncio.CancelledError):
        pass


async def _start(main: Callable[[Settings], Coroutine[Any, Any, None]], settings: Settings) -> None:
    await refuse_earlier(settings.database_url)
    await main(settings)


def load_settings() -> Settings:
    """Return the settings of the environment and of `.env`; exit with one line for each that is wrong."""
    try:
        return Settings(**environment.read(os.environ, ENV_FILE, Settings.model_fields))  # type: ignore[arg-type]  # checked by pydantic
    except environment.BadEnvironment as error:
        sys.exit(str(error))
    except ValidationError as error:
        sys.exit("\n".join(_sentence(found) for found in error.errors()))


def _sentence(error: ErrorDetails) -> str:
    told = error["msg"].removeprefix("Value error, ")
    return f"{environment.PREFIX}{str(error['loc'][0]).upper()}: {told}" if error["loc"] else told


def configure_logging(settings: Settings) -> None:
    """Log to standard error, one line a message, and ever less often what is said again and again."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Repeats())
    logging.basicConfig(
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        handlers=[handler],
    )
    for chatty in ("aiokafka", "alembic", "httpx", "uvicorn"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))
