"""Runs of strange records, and the tables that are folded again when an event is retried."""

from projector.batch import Poison
from projector.quarantine import Run, runs_of
from shared.read_models.read_model import Owner
from shared.read_models.registry import READ_MODELS


def strange(partition: int, offset: int, error: str = "strange") -> tuple[Poison, Exception]:
    return Poison(partition, None, None, b"%d" % offset, offset), ValueError(error)


def test_alike_records_next_to_each_other_are_one_run() -> None:
    """Another partition, another error or an offset between them begins another run; the first record stands for it."""
    records = [
        *(strange(0, offset) for offset in (1, 2, 3)),
        strange(0, 5),
        strange(1, 6),
        strange(1, 7, "stranger"),
    ]

    assert [
        Run(0, 1, 3, b"1", "ValueError: strange"),
        Run(0, 5, 5, b"5", "ValueError: strange"),
        Run(1, 6, 6, b"6", "ValueError: strange"),
        Run(1, 7, 7, b"7", "ValueError: stranger"),
    ] == runs_of(records)


def test_a_row_is_owned_by_whom_it_names() -> None:
    """Whatever read model is added: rows that name a user or an achievement are deleted before a retry."""
    for model in READ_MODELS:
        named = [owner for owner in (Owner.USER, Owner.ACHIEVEMENT) if owner in model.table.c]
        assert model.owner is next(iter(named), Owner.NONE)
