"""`python -m projector` projects, and serves its health and metrics."""

from projector.main import app
from shared.http.server import serve
from shared.runtime.process import run

if __name__ == "__main__":
    run(lambda settings: serve(app(settings), settings))
