"""All read models, and what follows from the list: their order, their version, the function that folds a batch."""

from collections.abc import Iterable, Sequence
from graphlib import TopologicalSorter
from typing import Final

from shared.read_models import (
    achievements,
    count_levels,
    incomplete,
    points_levels,
    streaks,
    texts,
    totals,
    user_awards,
    users,
)
from shared.read_models.bookkeeping import PROJECTED_CHANNEL
from shared.read_models.read_model import ReadModel

READ_MODELS: Final = (
    users.READ_MODEL,
    achievements.READ_MODEL,
    texts.READ_MODEL,
    user_awards.READ_MODEL,
    totals.READ_MODEL,
    count_levels.READ_MODEL,
    points_levels.READ_MODEL,
    streaks.READ_MODEL,
    incomplete.READ_MODEL,
)
"""A new read model is registered by one line here."""

REMOVED: Final = 0
"""Raised when a read model is removed from the list, by one more than its version was."""


def version(models: Iterable[ReadModel] = READ_MODELS) -> int:
    """Return the version of all of them together: a generation of another version is rebuilt."""
    return REMOVED + sum(model.version for model in models)


def in_order(models: Iterable[ReadModel]) -> list[ReadModel]:
    """Return the read models so that each comes after those it reads. Raises graphlib.CycleError."""
    by_name = {model.name: model for model in models}
    graph = {name: {*model.after, *model.fed_by} & by_name.keys() for name, model in by_name.items()}
    return [by_name[name] for name in TopologicalSorter(graph).static_order()]


def folded(models: Iterable[ReadModel]) -> list[ReadModel]:
    """Return those that events are folded into, in order."""
    return [model for model in in_order(models) if model.follows_from_log]


def rebuilt_with(name: str, models: Sequence[ReadModel]) -> list[ReadModel]:
    """Return the read model of this name with those that can only be rebuilt together with it."""
    chosen = {name}
    while True:
        fed = {m.name for m in models if chosen & set(m.fed_by)} | {
            feeder for m in models if m.name in chosen for feeder in m.fed_by
        }
        if fed <= chosen:
            return [model for model in folded(models) if model.name in chosen]
        chosen |= fed


def fold_functions(models: Iterable[ReadModel]) -> list[str]:
    """Return the statements that make `pg_temp.fold()`, which folds `batch` into every read model it concerns."""
    chosen = folded(models)
    calls = "\n    ".join(
        f"IF found && '{{{','.join(model.event_types)}}}'::text[] THEN PERFORM pg_temp.fold_{model.name}(); END IF;"
        for model in chosen
    )
    fold = f"""
CREATE OR REPLACE FUNCTION pg_temp.fold() RETURNS void LANGUAGE plpgsql AS $fold$
DECLARE found text[] := ARRAY(SELECT DISTINCT type FROM batch);
BEGIN
    {calls}
    PERFORM pg_notify('{PROJECTED_CHANNEL}', '');
END $fold$
"""  # noqa: S608 - names of our own
    return [*(model.fold for model in chosen), fold]
