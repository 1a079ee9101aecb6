"""Finds the server and the database of the instance that the options and settings name."""

from all_in_one.embedded_postgres import find_running
from all_in_one.instance import running_instance
from cli.console import CliError
from shared.runtime.database import FAILURES
from shared.runtime.process import load_settings
from shared.runtime.settings import Settings

DATABASE_FAILURES: tuple[type[Exception], ...] = (LookupError, *FAILURES)
"""What reading the database may end with, also where it is not migrated yet."""


def base_url(settings: Settings, given: str) -> str:
    """Return where the instance listens; another server that has its port is not taken. Raises CliError."""
    if given:
        return given
    if settings.database_url:
        raise CliError("Which server uses the database of LAURELS_DATABASE_URL is not known here: name it with --url.")
    found = running_instance(settings.data_dir)
    if found is None:
        raise CliError(f"{not_running(settings)} To use another, name it with --url, as --url http://localhost:8000.")
    return found.base_url


def database_settings() -> Settings:
    """Return the settings with the database of the instance that they name. Raises CliError."""
    settings = load_settings()
    url = settings.database_url or embedded_database_url(settings)
    if url is None:
        raise CliError(not_running(settings))
    return settings.model_copy(update={"database_url": url})


def embedded_database_url(settings: Settings) -> str | None:
    """Return the embedded database of the data folder, None if it does not run."""
    connection = find_running(settings.data_dir)
    return connection.url if connection else None


def not_running(settings: Settings) -> str:
    """Return the sentence that says so."""
    return f"No Laurels is running on {settings.data_dir.resolve()}. Start one with `laurels up` (`make run`)."
