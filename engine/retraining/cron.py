"""The instants at which a cron expression is due, correct across daylight-saving changes and missed times.

In: a five-field cron expression and a time zone. Out: instants in UTC. APScheduler's ``CronTrigger`` parses the
expression; here its wall-clock times become instants, as in Vixie cron: a time that the clock skips is due when the
skipped hour is over, one that occurs twice is due the first time, and an expression for every hour (``*/10 * * * *``)
is due both times. Weekdays are numbered from Sunday, 0 or 7, as in any crontab.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
WINDOWS = tuple(timedelta(days=days) for days in (1, 8, 40, 400, 4000))  # an expression may be due only on 29 February
SHIFT = timedelta(hours=3)  # no change of a zone's time is larger


class Cron:
    """A cron expression in a time zone. ValueError, in one line, where either is invalid, or it is never due."""

    def __init__(self, expression: str, timezone: str = "UTC") -> None:
        self.expression = expression
        fields = expression.split()
        if len(fields) != 5:
            raise ValueError(f"cron {expression!r}: wanted minute, hour, day of month, month, day of week; 5 fields")
        if fields[2] != "*" and fields[4] != "*":
            raise ValueError(
                f"cron {expression!r}: days of the month and of the week together mean 'or' to some readers and 'and' "
                "to others; write two expressions"
            )
        self._every_hour = fields[1].startswith("*")
        try:
            self._zone = ZoneInfo(timezone)
            # Parsed in UTC, so that it gives wall-clock times, which get their zone here.
            self._trigger = CronTrigger.from_crontab(" ".join([*fields[:4], _weekdays(fields[4])]), timezone=UTC)
        except (ValueError, KeyError, OSError) as error:
            raise ValueError(f"cron {expression!r} in time zone {timezone!r}: {error}") from None
        if self._trigger.get_next_fire_time(None, datetime(2000, 1, 1, tzinfo=UTC)) is None:
            raise ValueError(f"cron {expression!r} is never due: no year has such a day")

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """The last due instant in ``(after, until]``; None where there is none."""
        for window in WINDOWS:
            start = max(after, until - window)
            found = [instant for instant in self._instants(start, until) if start < instant <= until]
            if found or start == after:
                return max(found, default=None)
        return None

    def next(self, after: datetime) -> datetime | None:
        """The first due instant after ``after``; None where there is none."""
        for window in WINDOWS:
            found = [instant for instant in self._instants(after, after + window) if instant > after]
            if found:
                return min(found)
        return None

    def _instants(self, start: datetime, end: datetime) -> set[datetime]:
        """All due instants from ``start`` to ``end``, and some beyond."""
        return {instant for wall in self._walls(start, end) for instant in self._of_wall(wall)}

    def _walls(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """The wall-clock times at which the expression is due, without a zone."""
        first, last = (instant.astimezone(self._zone).replace(tzinfo=UTC) for instant in (start, end))
        wall = self._trigger.get_next_fire_time(None, first - SHIFT)
        while wall is not None and wall <= last + SHIFT:
            yield wall.replace(tzinfo=None)
            wall = self._trigger.get_next_fire_time(wall, wall)

    def _of_wall(self, wall: datetime) -> set[datetime]:
        first = wall.replace(tzinfo=self._zone).astimezone(UTC)
        again = wall.replace(tzinfo=self._zone, fold=1).astimezone(UTC)
        came_twice = again > first  # for a skipped time, fold=1 is the earlier one
        return {first, again} if self._every_hour and came_twice else {first}


def _weekdays(field: str) -> str:
    """The weekday field with names in place of numbers: APScheduler's 0 is Monday."""
    if "/" in field:
        raise ValueError(f"steps of weekdays ({field}) are read in different ways; name the days, such as mon,wed,fri")

    def named(found: re.Match[str]) -> str:
        if int(found[0]) > 7:
            raise ValueError(f"{found[0]} is not a day of the week; 0 (Sunday) to 7 (Sunday again)")
        return WEEKDAYS[int(found[0])]

    names = re.sub(r"\d+", named, field.lower())
    return ",".join(_unrolled(part) for part in names.split(","))


def _unrolled(part: str) -> str:
    """A range such as ``sun-tue`` as a list: APScheduler's week ends with Sunday, and its ranges do not wrap around."""
    first, dash, last = part.partition("-")
    if not dash or first not in WEEKDAYS or last not in WEEKDAYS:
        return part
    start, end = WEEKDAYS.index(first), WEEKDAYS.index(last)
    end = 7 if last == "sun" and start else end
    if end < start:
        end += 7
    return ",".join(WEEKDAYS[:7][day % 7] for day in range(start, end + 1))
