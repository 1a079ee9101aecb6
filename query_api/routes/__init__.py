"""The reads, by path."""

from fastapi import APIRouter

from query_api.routes import achievements, awards, statistics, streaks, users
from shared.runtime.http import PREFIX


def router() -> APIRouter:
    """Return all routes of the query side; literal paths go before those with parameters."""
    whole = APIRouter(prefix=PREFIX)
    for part in (statistics, streaks, achievements, users, awards):
        whole.include_router(part.router)
    return whole
