"""Runs of strange records, and the tables that are folded again when an event is retried."""

from projector.batch import Poison
from projector.projections import PROJECTIONS
from projector.quarantine import ACHIEVEMENT, USER, Run, runs_of, tables_of


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


def test_every_table_of_users_and_achievements_is_folded_again() -> None:
    """Whatever read model is added: rows that name a user or an achievement are deleted before a retry."""
    named = {
        table.name
        for projection in PROJECTIONS
        for table in projection.tables
        if {USER, ACHIEVEMENT} & set(table.c.keys())
    }

    # Who is incomplete follows from the quarantine itself.
    assert sorted(named - {"incomplete_users"}) == sorted([*tables_of(USER), *tables_of(ACHIEVEMENT)])
