"""When a cron expression is due, as instants: also over daylight-saving changes, and over any time that was missed.

In: a five-field cron expression and a time zone. Out: instants in UTC. APScheduler's ``CronTrigger`` reads the
expression; here wall-clock times become instants, as Vixie cron has it: a time that the clock skips is due when the
skipped hour is over, one that comes twice is due the first time, and an expression for every hour (``*/10 * * * *``)
is due in both. A number of a weekday counts from Sunday, 0 or 7, as in any crontab.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
WINDOWS = tuple(timedelta(days=days) for days in (1, 8, 40, 400, 4000))  # an expression may mean 29 February alone
SHIFT = timedelta(hours=3)  # no clock is moved by more at once


class Cron:
    """A cron expression in a time zone. ValueError, in one line, where either is none."""

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
            # Read in UTC: its wall-clock times are then given their zone here.
            self._trigger = CronTrigger.from_crontab(" ".join([*fields[:4], _weekdays(fields[4])]), timezone=UTC)
        except (ValueError, KeyError, OSError) as error:
            raise ValueError(f"cron {expression!r} in time zone {timezone!r}: {error}") from None
        if self._trigger.get_next_fire_time(None, datetime(2000, 1, 1, tzinfo=UTC)) is None:
            raise ValueError(f"cron {expression!r} is never due: no year has such a day")

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """The last instant in ``(after, until]`` at which it was due; None where it was not."""
        for window in WINDOWS:
            start = max(after, until - window)
            found = [instant for instant in self._instants(start, until) if start < instant <= until]
            if found or start == after:
                return max(found, default=None)
        return None

    def next(self, after: datetime) -> datetime | None:
        """The first instant after ``after`` at which it is due; None where it is never again."""
        for window in WINDOWS:
            found = [instant for instant in self._instants(after, after + window) if instant > after]
            if found:
                return min(found)
        return None

    def _instants(self, start: datetime, end: datetime) -> set[datetime]:
        """All instants between two, and some around them."""
        return {instant for wall in self._walls(start, end) for instant in self._of_wall(wall)}

    def _walls(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """The wall-clock times of the expression, without a zone."""
        first, last = (instant.astimezone(self._zone).replace(tzinfo=UTC) for instant in (start, end))
        wall = self._trigger.get_next_fire_time(None, first - SHIFT)
        while wall is not None and wall <= last + SHIFT:
            yield wall.replace(tzinfo=None)
            wall = self._trigger.get_next_fire_time(wall, wall)

    def _of_wall(self, wall: datetime) -> set[datetime]:
        first = wall.replace(tzinfo=self._zone).astimezone(UTC)
        again = wall.replace(tzinfo=self._zone, fold=1).astimezone(UTC)
        came_twice = again > first  # a skipped time gives the earlier of the two with its second fold
        return {first, again} if self._every_hour and came_twice else {first}


def _weekdays(field: str) -> str:
    """The field with names in place of numbers: to APScheduler 0 is Monday."""
    if "/" in field:
        raise ValueError(f"steps of weekdays ({field}) are read in different ways; name the days, such as mon,wed,fri")

    def named(found: re.Match[str]) -> str:
        if int(found[0]) > 7:
            raise ValueError(f"{found[0]} is not a day of the week; 0 (Sunday) to 7 (Sunday again)")
        return WEEKDAYS[int(found[0])]

    names = re.sub(r"\d+", named, field.lower())
    return ",".join(_unrolled(part) for part in names.split(","))


def _unrolled(part: str) -> str:
    """``sun-tue`` as a list: to APScheduler a week ends with Sunday, and ranges do not go around."""
    first, dash, last = part.partition("-")
    if not dash or first not in WEEKDAYS or last not in WEEKDAYS:
        return part
    start, end = WEEKDAYS.index(first), WEEKDAYS.index(last)
    end = 7 if last == "sun" and start else end
    if end < start:
        end += 7
    return ",".join(WEEKDAYS[:7][day % 7] for day in range(start, end + 1))
