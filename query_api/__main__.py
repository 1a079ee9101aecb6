"""`python -m query_api` serves the query API."""

from query_api.main import app
from shared.runtime.process import run
from shared.runtime.server import serve

if __name__ == "__main__":
    run(lambda settings: serve(app(settings), settings))
