"""What Laurels is compared with over HTTP: applications that do nothing, under the very server that it runs under.

Or under another one, to see what that would change.
"""

import asyncio
import sys
from datetime import datetime
from typing import Annotated, Final

import uvloop
from fastapi import FastAPI
from granian.constants import Interfaces
from granian.server.embed import Server
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.types import Receive, Scope, Send

from shared.http.server import serve
from shared.runtime.settings import Settings

CONSTANT: Final = b'{"user_id":48213,"username":"player-48213","total_points":1045,"tied_users":1}'


class Bare:
    """An ASGI application that answers everything with the same bytes."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(CONSTANT))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": CONSTANT})


async def _lifespan(receive: Receive, send: Send) -> None:
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})


class Award(BaseModel):
    """The body of an award, with the rules that Laurels has for it."""

    model_config = ConfigDict(extra="forbid")

    achievement_id: Annotated[int | None, Field(strict=True, ge=1, lt=2**53)] = None
    achievement_name: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    awarded_at: datetime | None = None

    @model_validator(mode="after")
    def _names_one_achievement(self) -> "Award":
        if (self.achievement_id is None) == (self.achievement_name is None):
            raise ValueError("give either achievement_id or achievement_name")
        return self


class Plain(FastAPI):
    """FastAPI as Laurels' server takes it."""

    def __init__(self) -> None:
        super().__init__()
        self.stopping = asyncio.Event()


def plain() -> Plain:
    """Return an application as one writes it with FastAPI, whose routes do nothing."""
    app = Plain()

    @app.get("/constant")
    async def constant() -> dict[str, str | int]:
        return {"user_id": 48213, "username": "player-48213", "user_language": "en", "user_timezone": "UTC"}

    @app.post("/users/{username}/achievements", status_code=201)
    async def award(username: str, body: Award) -> dict[str, str | int | None]:
        return {"username": username, "achievement_id": body.achievement_id}

    return app


async def serve_by_granian(app: "Plain | Bare", port: int) -> None:
    """Serve under granian, in this process and on this loop as Laurels would have to, until it is ended."""
    await Server(app, port=port, interface=Interfaces.ASGI, websockets=False, log_enabled=False).serve()


def main(kind: str, server: str, port: int) -> None:
    """Serve one of them until a signal says stop."""
    app = plain() if kind == "fastapi" else Bare()
    uvloop.run(serve_by_granian(app, port) if server == "granian" else serve(app, Settings(port=port)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
