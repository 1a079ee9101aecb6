"""The registry of read models: what follows from it, and what the versions stand for."""

import hashlib

import pytest

from projector.generations.lifecycle import create_generation_sql
from shared.events.codec import SCHEMA_VERSIONS
from shared.events.types import EVENT_TYPES
from shared.read_models.read_model import Owner, ReadModel
from shared.read_models.registry import READ_MODELS, folded, in_order, rebuilt_with, version

FINGERPRINTS = {
    ("users", 1): "043061ff9d8ec156",
    ("achievements", 1): "8a4afb3dfd21bb0b",
    ("texts", 1): "1b58d48a4da92822",
    ("user_awards", 1): "8b24eabda8776e4d",
    ("totals", 1): "adb95a1f41a6f828",
    ("count_levels", 1): "acbe1cbb75367284",
    ("points_levels", 1): "ff9b9e76b51c8537",
    ("streaks", 1): "f991ece2ec6fcc66",
    ("incomplete", 1): "3587821c5868e7c4",
}
"""Name and version of each read model to what its table, its fold and its events were."""


def fingerprint(model: ReadModel) -> str:
    events = (f"{name} {SCHEMA_VERSIONS[name]}" for name in model.event_types)
    texts = [*create_generation_sql(0, [model]), model.fold, *events]
    return hashlib.sha256("\n".join(" ".join(text.split()) for text in texts).encode()).hexdigest()[:16]


@pytest.mark.parametrize("model", READ_MODELS, ids=lambda model: model.name)
def test_another_fold_is_another_version(model: ReadModel) -> None:
    """A changed fold or table needs a raised version, so that an upgrade rebuilds the read models."""
    expected = FINGERPRINTS.get((model.name, model.version))
    assert expected == fingerprint(model), f"raise the version of {model.name}, and note its fingerprint here"


def test_the_version_of_all_moves_with_each() -> None:
    """Whichever read model gets a new version, the generation as a whole does."""
    assert version(READ_MODELS) == sum(model.version for model in READ_MODELS)


def test_a_read_model_comes_after_those_it_reads() -> None:
    """What a fold reads in the same batch has been folded before."""
    names = [model.name for model in in_order(READ_MODELS)]
    for model in READ_MODELS:
        for earlier in (*model.after, *model.fed_by):
            assert names.index(earlier) < names.index(model.name)


def test_what_is_fed_is_rebuilt_with_its_feeder() -> None:
    """Read models that pass rows to each other within a batch are rebuilt together, others alone."""
    levels = ["totals", "count_levels", "points_levels"]
    for name in levels:
        assert set(levels) == {model.name for model in rebuilt_with(name, READ_MODELS)}
    assert ["streaks"] == [model.name for model in rebuilt_with("streaks", READ_MODELS)]


@pytest.mark.parametrize("model", folded(READ_MODELS), ids=lambda model: model.name)
def test_a_read_model_is_a_whole_folder(model: ReadModel) -> None:
    """Each has its fold and its definition, known event types, and the column of its owner."""
    assert f"pg_temp.fold_{model.name}()" in model.fold
    assert model.definition
    assert set(model.event_types) <= EVENT_TYPES.keys()
    assert model.owner is Owner.NONE or model.owner in model.table.columns
