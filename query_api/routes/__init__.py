"""The reads, by path."""

from query_api.routes import achievements, awards, explanations, statistics, streaks, users

PARTS = (statistics, streaks, achievements, users, awards, explanations)

# Literal paths go before those with parameters.
ROUTES = [route for part in PARTS for route in part.router.routes]
