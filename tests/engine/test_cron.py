"""Cron expressions are due at the instants that a crontab means, over clock changes too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from engine.retraining.cron import Cron

BERLIN = ZoneInfo("Europe/Berlin")


def fires(cron: Cron, start: datetime, end: datetime) -> list[datetime]:
    found, at = [], start
    while (at := cron.next(at) or end) < end:
        found.append(at)
    return found


def berlin(*numbers: int, fold: int = 0) -> datetime:
    return datetime(*numbers, tzinfo=BERLIN, fold=fold).astimezone(UTC)  # type: ignore[misc]


def test_a_daily_time_that_the_clock_skips_or_repeats_is_due_once_each_day() -> None:
    cron = Cron("30 2 * * *", "Europe/Berlin")
    spring = fires(cron, berlin(2026, 3, 27), berlin(2026, 4, 1))
    assert spring == [
        berlin(2026, 3, 27, 2, 30),
        berlin(2026, 3, 28, 2, 30),
        berlin(2026, 3, 29, 3, 30),
        berlin(2026, 3, 30, 2, 30),
        berlin(2026, 3, 31, 2, 30),
    ]
    autumn = fires(cron, berlin(2026, 10, 24), berlin(2026, 10, 27))
    assert autumn == [berlin(2026, 10, 24, 2, 30), berlin(2026, 10, 25, 2, 30), berlin(2026, 10, 26, 2, 30)]


def test_an_expression_for_every_hour_runs_through_both_hours() -> None:
    cron = Cron("*/20 * * * *", "Europe/Berlin")
    for day in (datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)):
        found = fires(cron, day, day + timedelta(hours=6))
        assert found == [day + timedelta(minutes=20 * n) for n in range(1, 18)]


@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("0", [0]),
        ("7", [0]),
        ("1-5", [1, 2, 3, 4, 5]),
        ("sat,sun", [0, 6]),
        ("5-7", [0, 5, 6]),
        ("sun-tue", [0, 1, 2]),
        ("5-1", [0, 1, 5, 6]),
    ],
)
def test_weekdays_count_from_sunday(field: str, days: list[int]) -> None:
    found = fires(Cron(f"0 9 * * {field}"), datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 8, tzinfo=UTC))
    assert sorted((one.weekday() + 1) % 7 for one in found) == days


def test_the_latest_of_a_long_downtime_is_found_and_the_rest_is_not_walked_through() -> None:
    cron = Cron("* * * * *")
    now = datetime(2026, 11, 21, 9, 30, 20, tzinfo=UTC)
    assert cron.latest(now - timedelta(days=3000), now) == now.replace(second=0)
    assert cron.latest(now - timedelta(seconds=10), now) is None
    assert Cron("0 0 29 2 *").latest(now - timedelta(days=3000), now) == datetime(2024, 2, 29, tzinfo=UTC)


def test_due_times_are_half_open_so_that_none_is_met_twice() -> None:
    cron, at = Cron("0 3 * * *"), datetime(2026, 11, 21, 3, tzinfo=UTC)
    assert cron.latest(at - timedelta(hours=1), at) == at
    assert cron.latest(at, at + timedelta(hours=1)) is None
    assert cron.next(at) == at + timedelta(days=1)


@pytest.mark.parametrize(
    ("expression", "zone", "said"),
    [
        ("0 3 * *", "UTC", "5 fields"),
        ("61 3 * * *", "UTC", "61"),
        ("0 3 * * 8", "UTC", "not a day of the week"),
        ("0 3 * * */2", "UTC", "name the days"),
        ("0 3 1 * 1", "UTC", "two expressions"),
        ("0 3 30 2 *", "UTC", "never due"),
        ("0 3 * * *", "Mars/Olympus", "Mars/Olympus"),
        ("0 3 * * *", "../../etc/passwd", "time zone"),
    ],
)
def test_what_is_no_expression_is_refused_in_one_line(expression: str, zone: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        Cron(expression, zone)
    assert "\n" not in str(refused.value)
