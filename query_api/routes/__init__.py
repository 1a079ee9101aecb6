"""The reads, by path."""

from query_api.routes import achievements, awards, explanations, statistics, streaks, users
from shared.http.routing import joined

CACHED = joined((statistics.routes, streaks.routes))
"""Reads whose responses are cached."""

# Literal paths go before those with parameters.
ROUTES = joined((CACHED, achievements.routes, users.routes, awards.routes, explanations.routes))
