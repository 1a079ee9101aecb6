"""Days, runs of days, and the zones they are counted in."""

from datetime import UTC, date, datetime, timedelta, timezone
from importlib.resources import files
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.domain.days import (
    Run,
    UnknownTimezone,
    current_run,
    is_timezone,
    local_day,
    longest_run,
    runs,
    timezones,
    today_by_zone,
    zone,
)

DAYS = st.lists(st.dates(date(2024, 2, 20), date(2024, 3, 15)), max_size=30)
ANY_DAYS = st.lists(st.dates() | st.sampled_from([date.min, date.max, date.max - timedelta(1)]), max_size=30)


def days_of(run: Run) -> list[date]:
    """Spell a run out, day by day."""
    return [date.fromordinal(day) for day in range(run.started_on.toordinal(), run.ended_on.toordinal() + 1)]


def streaks_by_hand(days: list[date]) -> list[list[date]]:
    """Walk from every day that has no day before it, as long as there is a next day: slow and plain."""
    present = {day.toordinal() for day in days}
    found = []
    for start in sorted(day for day in present if day - 1 not in present):
        end = start
        while end + 1 in present:
            end += 1
        found.append([date.fromordinal(day) for day in range(start, end + 1)])
    return found


@given(DAYS | ANY_DAYS)
def test_runs_are_the_maximal_stretches(days: list[date]) -> None:
    """Runs hold exactly the days given, join all that touch, and ascend."""
    found = runs(days)
    assert streaks_by_hand(days) == [days_of(run) for run in found]
    assert [len(days_of(run)) for run in found] == [run.days for run in found]


@given(DAYS)
def test_the_longest_run_is_the_earliest_of_the_longest(days: list[date]) -> None:
    """No run is longer, and none as long starts earlier."""
    longest = longest_run(runs(days))
    by_hand = max(streaks_by_hand(days), key=len, default=None)  # max() keeps the first of equals
    assert by_hand == (days_of(longest) if longest else None)


@given(DAYS, st.dates(date(2024, 2, 18), date(2024, 3, 18)))
def test_the_current_run_reaches_today_or_yesterday(days: list[date], today: date) -> None:
    """The run with today in it is current, else the one with yesterday in it, else none."""
    stretches = streaks_by_hand(days)
    with_today = [stretch for stretch in stretches if today in stretch]
    with_yesterday = [stretch for stretch in stretches if today - timedelta(1) in stretch]
    expected = next(iter(with_today + with_yesterday), None)
    current = current_run(runs(days), today)
    assert expected == (days_of(current) if current else None)


def test_the_calendar_has_ends() -> None:
    """The first and the last day there are make runs like all others."""
    assert Run(date.min, date.min) == current_run(runs([date.min]), date.min)
    assert Run(date.max, date.max) == current_run(runs([date.max]), date.max)


def test_a_run_across_a_leap_day_has_every_day() -> None:
    """29 February counts where there is one."""
    assert [3] == [run.days for run in runs([date(2024, 3, 1), date(2024, 2, 28), date(2024, 2, 29)])]
    assert [1, 1] == [run.days for run in runs([date(2023, 3, 1), date(2023, 2, 27)])]


@pytest.mark.parametrize(
    ("instant", "name", "day"),
    [
        (datetime(2026, 1, 31, 22, 30, tzinfo=UTC), "UTC", date(2026, 1, 31)),
        (datetime(2026, 1, 31, 22, 30, tzinfo=UTC), "Europe/Moscow", date(2026, 2, 1)),
        (datetime(2026, 2, 1, 4, 59, tzinfo=UTC), "America/New_York", date(2026, 1, 31)),
        (datetime(2026, 1, 31, 10, 0, tzinfo=UTC), "Pacific/Kiritimati", date(2026, 2, 1)),
        (datetime(2026, 1, 31, 23, 30, tzinfo=timezone(timedelta(hours=-5))), "Asia/Kolkata", date(2026, 2, 1)),
        (datetime(2026, 3, 29, 0, 59, tzinfo=UTC), "Europe/Berlin", date(2026, 3, 29)),
        (datetime.min.replace(tzinfo=UTC), "America/New_York", date.min),
        (datetime.max.replace(tzinfo=UTC), "Asia/Tokyo", date.max),
    ],
)
def test_a_day_is_local(instant: datetime, name: str, day: date) -> None:
    """The day of an instant is that of the clock on the wall in the zone, and never outside the calendar."""
    assert day == local_day(instant, zone(name))


def test_an_instant_without_an_offset_has_no_day() -> None:
    """Guessing an offset would move awards to other days, so it is refused."""
    with pytest.raises(ValueError, match="offset"):
        local_day(datetime(2026, 1, 31), zone("UTC"))  # noqa: DTZ001 - the case under test


@given(st.datetimes(), st.sampled_from(["UTC", "Asia/Kolkata", "America/St_Johns", "Pacific/Apia", "Africa/Monrovia"]))
def test_a_local_day_is_the_utc_day_moved_by_the_offset(moment: datetime, name: str) -> None:
    """The zone's offset at the instant, added by hand, gives the same day."""
    assume(1 < moment.year < 9999)
    instant = moment.replace(tzinfo=UTC)
    offset = instant.astimezone(zone(name)).utcoffset() or timedelta()
    assert (moment + offset).date() == local_day(instant, zone(name))


@pytest.mark.parametrize(
    "name", ["UTC", "Etc/UTC", "Europe/Berlin", "America/Argentina/Ushuaia", "US/Eastern", "GMT+0"]
)
def test_iana_names_are_zones(name: str) -> None:
    """Every name in the IANA list is a zone, old names too."""
    assert is_timezone(name)
    assert name == zone(name).key
    assert zone(name) is zone(name)


@pytest.mark.parametrize(
    "name",
    [
        *["", "localtime", "Factory", "posix/Europe/Berlin", "right/UTC", "posixrules", "Europe", "europe/berlin"],
        *[" UTC", "/etc/localtime", "../zoneinfo/UTC", "Europe/../UTC", "zones", "Europe/Berlin\x00", "\ud800"],
    ],
)
def test_anything_else_is_no_zone(name: str) -> None:
    """Files, paths and placeholders are not zones, and the refusal does not repeat them."""
    assert not is_timezone(name)
    with pytest.raises(UnknownTimezone) as refused:
        zone(name)
    assert not name or name not in str(refused.value)


def test_every_listed_zone_can_be_read() -> None:
    """Whatever the list promises is there, with the rules of the package."""
    assert len(timezones()) > 590
    assert timezones() == {zone(name).key for name in timezones()}
    rules = files("tzdata").joinpath("zoneinfo/Europe/Berlin")
    with rules.open("rb") as stored:
        expected = ZoneInfo.from_file(stored)
    assert (
        datetime(2026, 7, 1, tzinfo=expected).utcoffset()
        == datetime(2026, 7, 1, tzinfo=zone("Europe/Berlin")).utcoffset()
    )


def test_one_instant_has_several_todays() -> None:
    """Each zone has its own today at the same now."""
    now = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
    expected = {"Pacific/Kiritimati": date(2026, 2, 1), "UTC": date(2026, 1, 31), "Etc/GMT+12": date(2026, 1, 31)}
    assert expected == today_by_zone(now, expected)
