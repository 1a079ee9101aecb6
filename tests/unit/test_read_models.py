"""The version of the read models, and what it stands for."""

import hashlib

from projector.generation import create_generation_sql
from projector.projections import STATEMENTS
from shared.events.codec import SCHEMA_VERSIONS
from shared.read_models import VERSION

FINGERPRINTS = {1: "d92e1930fba9150a"}
"""Version of the read models to what its tables, statements and events were."""


def test_other_read_models_are_another_version() -> None:
    """Whoever changes a projection raises VERSION, so that an upgrade builds the read models anew."""
    texts = [
        *create_generation_sql(0),
        *STATEMENTS,
        *(f"{name} {version}" for name, version in SCHEMA_VERSIONS.items()),
    ]
    found = hashlib.sha256("\n".join(" ".join(text.split()) for text in texts).encode()).hexdigest()[:16]
    assert FINGERPRINTS[VERSION] == found, "raise shared.read_models.VERSION, and note its fingerprint here"
