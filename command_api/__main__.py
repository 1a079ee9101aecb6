"""`python -m command_api` serves the command API."""

from command_api.main import app
from shared.http.server import serve
from shared.runtime.process import run

if __name__ == "__main__":
    run(lambda settings: serve(app(settings), settings))
