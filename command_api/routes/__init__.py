"""HTTP to command to status."""

from command_api.routes import achievements, awards, bulk, users
from shared.http.routing import joined

# Literal paths go before those with parameters.
ROUTES = joined(part.routes for part in (bulk, achievements, users, awards))
