"""HTTP to command to status."""

from command_api.routes import achievements, awards, bulk, users

# Literal paths go before those with parameters.
ROUTES = [route for part in (bulk, achievements, users, awards) for route in part.router.routes]
