"""The next version of Laurels, as a change of the read models and of an event makes it.

`python -m tests.support.next_version MODULE …` starts a service of it, or with `cli` its command line. Version 2 of
`user-created` says where the user came from, and the projection of users keeps it: `unknown` for those of version 1.
"""

import importlib
import sys
from dataclasses import dataclass
from typing import Any, ClassVar

import sqlalchemy as sa

from shared.events import codec, types
from shared.http.server import serve
from shared.read_models import users
from shared.read_models.read_model import ReadModel
from shared.runtime.process import run

V1_ORIGIN = "unknown"
V2_ORIGIN = "signup"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserCreated(types.UserCreated):
    """A user was registered."""

    type: ClassVar[str] = "user-created"
    origin: str = V2_ORIGIN


def _change_the_event() -> None:
    types.UserCreated = UserCreated  # type: ignore[misc]
    types.EVENT_TYPES["user-created"] = UserCreated
    codec.SCHEMA_VERSIONS["user-created"] = 2
    codec.UPCASTERS["user-created", 1] = lambda data: {**data, "origin": V1_ORIGIN}


class NextUsers(ReadModel):
    """Profiles with where the user came from."""

    @property
    def fold(self) -> str:
        """The fold that keeps it."""
        sound: str = ReadModel.fold.fget(self)  # type: ignore[attr-defined]
        return (
            sound.replace(
                "recorded_at AS updated_at, position",
                "recorded_at AS updated_at, position, max(data ->> 'origin') OVER (PARTITION BY user_id) AS origin",
            )
            .replace("created_at, updated_at, updated_position)", "created_at, updated_at, updated_position, origin)")
            .replace("created_at, updated_at, position FROM", "created_at, updated_at, position, origin FROM")
        )

    @property
    def definition(self) -> str:
        """The definition that has it."""
        sound: str = ReadModel.definition.fget(self)  # type: ignore[attr-defined]
        return sound.replace("l.position\n", "l.position, c.data ->> 'origin'\n")


def _change_the_read_model() -> None:
    users.TABLE.append_column(sa.Column("origin", sa.Text))
    now = users.READ_MODEL
    fields = {name: getattr(now, name) for name in ReadModel.__dataclass_fields__}
    _set(users, READ_MODEL=NextUsers(**{**fields, "version": now.version + 1}))


def _change_the_reads() -> None:
    queries = importlib.import_module("query_api.queries")
    sql = queries.sql

    def sql_with_origin(package: str, name: str, **pieces: str) -> str:
        text: str = sql(package, name, **pieces)
        if not name.startswith(("user/", "users/")):
            return text
        return text.replace(" updated_at ", " updated_at, origin ").replace(" updated_at\n", " updated_at, origin\n")

    _set(queries, sql=sql_with_origin)
    routes = importlib.import_module("query_api.routes.users")
    _set(routes, FIELDS=(*routes.FIELDS, "origin"))


def _set(module: Any, **names: object) -> None:  # noqa: ANN401 - of a module only its type is known
    for name, value in names.items():
        assert getattr(module, name) != value
        setattr(module, name, value)


def main() -> None:
    """Change what is to be changed before anything else is imported, and start."""
    for change in (_change_the_event, _change_the_read_model, _change_the_reads):
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
