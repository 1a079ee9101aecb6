"""HTTP to command to status."""

from fastapi import APIRouter

from command_api.routes import achievements, awards, bulk, users
from shared.runtime.http import PREFIX


def router() -> APIRouter:
    """Return all routes of the command side; literal paths go before those with parameters."""
    whole = APIRouter(prefix=PREFIX)
    for part in (bulk, achievements, users, awards):
        whole.include_router(part.router)
    return whole
