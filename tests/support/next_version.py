"""The next version of Laurels, as a change of the read models and of an event makes it.

`python -m tests.support.next_version MODULE …` starts a service of it, or with `cli` its command line. Version 2 of
`user-created` says where the user came from, and the projection of users keeps it: `unknown` for those of version 1.
"""

import importlib
import sys
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import sqlalchemy as sa

from shared import read_models
from shared.events import codec, types
from shared.runtime.process import run
from shared.runtime.server import serve

V1_ORIGIN = "unknown"
V2_ORIGIN = "signup"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserCreated(types.UserCreated):
    """A user was registered."""

    type: ClassVar[str] = "user-created"
    origin: str = V2_ORIGIN


def _raise_the_version() -> None:
    read_models.SERVED = read_models.SERVED.replace("version = 1", "version = 2")  # type: ignore[misc]
    read_models.VERSION = 2  # type: ignore[misc]


def _change_the_event() -> None:
    types.UserCreated = UserCreated  # type: ignore[misc]
    types.EVENT_TYPES["user-created"] = UserCreated
    codec.SCHEMA_VERSIONS["user-created"] = 2
    codec.UPCASTERS["user-created", 1] = lambda data: {**data, "origin": V1_ORIGIN}


def _change_the_projection() -> None:
    projections = importlib.import_module("projector.projections")
    users = importlib.import_module("projector.projections.users")
    users.users.append_column(sa.Column("origin", sa.Text))
    statement = (
        users.PROJECT.replace(
            "recorded_at AS updated_at, position",
            "recorded_at AS updated_at, position, max(data ->> 'origin') OVER (PARTITION BY user_id) AS origin",
        )
        .replace("created_at, updated_at, updated_position)", "created_at, updated_at, updated_position, origin)")
        .replace("created_at, updated_at, position FROM", "created_at, updated_at, position, origin FROM")
    )
    changed = replace(users.PROJECTION, statements=(statement,))
    every = tuple(changed if p is users.PROJECTION else p for p in projections.PROJECTIONS)
    _set(projections, PROJECTIONS=every, STATEMENTS=tuple(text for p in every for text in p.statements))
    definitions = importlib.import_module("projector.definitions")
    definition = definitions.DEFINITIONS["users"].replace("l.position\n", "l.position, c.data ->> 'origin'\n")
    definitions.DEFINITIONS["users"] = definition


def _change_the_reads() -> None:
    queries = importlib.import_module("query_api.queries.users")
    columns = f"{queries.COLUMNS}, origin"
    by_name = queries.USER_BY_NAME
    _set(
        queries,
        USER_BY_NAME=replace(by_name, query=by_name.query.replace(queries.COLUMNS, columns)),
        USERS=queries.USERS.replace(queries.COLUMNS, columns),
    )
    routes = importlib.import_module("query_api.routes.users")
    _set(routes, FIELDS=(*routes.FIELDS, "origin"))


def _set(module: Any, **names: object) -> None:  # noqa: ANN401 - of a module only its type is known
    for name, value in names.items():
        assert getattr(module, name) != value
        setattr(module, name, value)


def main() -> None:
    """Change what is to be changed before anything else is imported, and start."""
    for change in (_raise_the_version, _change_the_event, _change_the_projection, _change_the_reads):
        change()
    module, *arguments = sys.argv[1:]
    if module == "cli":
        sys.argv = ["laurels", *arguments]
        importlib.import_module("cli.main").main()
        return
    app = importlib.import_module(f"{module}.main").app
    run(lambda settings: serve(app(settings), settings))


if __name__ == "__main__":
    main()
