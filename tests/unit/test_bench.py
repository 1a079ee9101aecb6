"""The bench's arithmetic: schedules, percentiles, ratios, targets, and what its table says."""

from pathlib import Path

import pytest

from bench.client import LoadFailed, Schedule, is_whole, request
from bench.measures import Findings, Measure, at_least, at_most, percentile
from bench.plan import Plan
from bench.report import markdown, row, write_result

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nContent-Length: 4\r\n\r\n"


def measure(**given: object) -> Measure:
    defaults = {"work": "reads", "what": "max-count", "unit": "req/s", "ours": [100.0]}
    return Measure(**{**defaults, **given})  # type: ignore[arg-type]  # checked by the tests that give them


def test_the_schedule_does_not_wait_for_answers() -> None:
    """A request is due at its own time whatever became of those before it, and its latency counts from then."""
    schedule = Schedule(100.0, 10.0, 1.0)

    schedule.call(100.35)

    assert [100.0, 100.1, 100.2, 100.3] == pytest.approx(list(schedule.waiting))
    assert 100.4 == pytest.approx(schedule.next_at)
    assert not schedule.all_called


def test_the_schedule_ends() -> None:
    """A rate over some seconds is so many requests, and the schedule is finished when all of them were sent."""
    schedule = Schedule(0.0, 10.0, 1.0)

    schedule.call(60.0)

    assert 10 == len(schedule.waiting)
    assert schedule.all_called
    assert not schedule.finished
    schedule.waiting.clear()
    assert schedule.finished


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.001, 1.0)])
def test_a_percentile_is_a_sample(share: float, expected: float) -> None:
    """A percentile is the least sample that the share of all does not exceed."""
    samples = [float(number) for number in range(100, 0, -1)]

    assert expected == percentile(samples, share)


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    """Each round is compared with itself, so a machine that gets slower between rounds changes no ratio."""
    drifting = measure(ours=[50.0, 25.0, 5.0], reference="bare", theirs=[100.0, 50.0, 100.0])

    assert 0.5 == drifting.ratio
    assert 25.0 == drifting.figure
    assert 100.0 == drifting.reference_figure


@pytest.mark.parametrize(
    ("target", "ours", "theirs", "met"),
    [
        (at_least(0.5), 50.0, [100.0], True),
        (at_least(0.5), 49.0, [100.0], False),
        (at_most(2.5), 250.0, [100.0], True),
        (at_most(2.5), 251.0, [100.0], False),
        (at_most(10), 9.0, [], True),
        (at_most(10), 11.0, [], False),
        (None, 1.0, [100.0], None),
    ],
)
def test_a_target_is_held_against_the_ratio_or_the_figure(
    target: object, ours: float, theirs: list[float], met: object
) -> None:
    """With a floor or ceiling the ratio decides, without one the figure itself."""
    assert met == measure(ours=[ours], theirs=theirs, target=target).met


def test_a_row_says_whether_the_target_is_met() -> None:
    """The table has both figures, their ratio, the target, and yes or no."""
    held = measure(ours=[12_345.6], reference="bare ASGI app", theirs=[20_000.0], target=at_least(0.5))
    alone = measure(ours=[7.25], unit="ms", target=at_most(10))

    assert row(held)[2:] == ("12,346 req/s", "bare ASGI app", "20,000 req/s", "0.62", "at least 0.5", "yes")
    assert row(alone)[2:] == ("7.25 ms", "", "", "", "at most 10 ms", "yes")


@pytest.mark.parametrize("cut", [1, 20, len(HEAD) - 1, len(HEAD), len(HEAD) + 3])
def test_an_answer_is_whole_with_its_last_byte(cut: int) -> None:
    """However an answer is cut into packets, it counts once all of it has come."""
    answer = HEAD + b"true"

    assert not is_whole(answer[:cut])
    assert is_whole(answer)


def test_a_refusal_is_no_answer() -> None:
    """A rate of errors is no rate: whatever is not a success ends the load."""
    with pytest.raises(LoadFailed, match="503"):
        is_whole(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")


def test_a_request_says_how_long_it_is() -> None:
    """A body comes with its length, so that connections can be kept."""
    sent = request("POST", "/x", b'{"a":1}', "Prefer: respond-async\r\n")

    assert sent.startswith(b"POST /x HTTP/1.1\r\n")
    assert sent.endswith(b'Content-Length: 7\r\nPrefer: respond-async\r\n\r\n{"a":1}')


def test_scale_one_is_what_the_table_asks_for() -> None:
    """At scale 1 the sizes are those of the targets."""
    whole = Plan(1)

    assert (100_000, 100_000, (100_000, 500_000)) == (whole.users, whole.backlog, whole.rebuilds)
    assert ((10_000, 100_000, 1_000_000), 1_000_000) == (whole.sizes, whole.operations)


def test_what_was_found_is_read_again(tmp_path: Path) -> None:
    """The table has what each line found last, in order, also of lines that did not run this time."""
    for name, target in (("late", at_least(0.5)), ("early", None)):
        found = Findings([measure(work=name, reference="floor", theirs=[200.0], target=target)])
        write_result(tmp_path, name, found, Plan(), 1.0)

    rows = markdown(tmp_path, ["early", "never", "late"]).splitlines()[2:]

    assert [
        "| early | max-count | 100 req/s | floor | 200 req/s | 0.50 |  |  |",
        "| late | max-count | 100 req/s | floor | 200 req/s | 0.50 | at least 0.5 | yes |",
    ] == rows
