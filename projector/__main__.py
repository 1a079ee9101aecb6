"""`python -m projector` projects, and serves its health and metrics."""

from projector.main import app
from shared.runtime.process import run
from shared.runtime.server import serve

if __name__ == "__main__":
    run(lambda settings: serve(app(settings), settings))
