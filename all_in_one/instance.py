"""The instance over a data folder: a file there says where it listens, and by which id it shows itself."""

import contextlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx

INSTANCE_FILE = "instance.json"
ANSWER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Instance:
    """One run of a service: `/health` at its base URL shows its id."""

    base_url: str
    instance: str = field(default_factory=lambda: secrets.token_hex(16))

    def answers(self) -> bool:
        """Ask whether this very instance answers, and not some other server that has its port now."""
        try:
            # It runs on this machine, which no proxy reaches.
            health = httpx.get(f"{self.base_url}/health", timeout=ANSWER_SECONDS, trust_env=False).json()
        except (httpx.HTTPError, ValueError):
            return False
        return isinstance(health, dict) and health.get("instance") == self.instance


@contextlib.contextmanager
def announced(data_dir: Path, instance: Instance) -> Iterator[None]:
    """Keep the file in the data folder for as long as the context lasts; who is killed leaves it behind."""
    path = data_dir / INSTANCE_FILE
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(instance)))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def running_instance(data_dir: Path) -> Instance | None:
    """Return the instance that serves over this data folder, None if none answers."""
    try:
        found = Instance(**json.loads((data_dir / INSTANCE_FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return found if found.answers() else None
