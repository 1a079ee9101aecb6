"""The reads, by path."""

from query_api.routes import achievements, awards, statistics, streaks, users

# Literal paths go before those with parameters.
ROUTES = [route for part in (statistics, streaks, achievements, users, awards) for route in part.router.routes]
