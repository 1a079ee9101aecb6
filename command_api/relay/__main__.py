"""Runs the relay as a service: `python -m command_api.relay`."""

from command_api.relay.main import app
from shared.http.server import serve
from shared.runtime.process import run

if __name__ == "__main__":
    run(lambda settings: serve(app(settings), settings))
