"""Progress of long work on the terminal: a bar; for units also images/s, rejects and time left.

In a log file or a notebook, where nobody sees a bar move, the state of the units is a line a minute.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn, track
from rich.table import Column

from pipelines.labelling.run_time import RunTime
from pipelines.labelling.totals import Totals

Thing = TypeVar("Thing")
LOG_EVERY_S = 60.0


def tracked(things: Iterable[Thing], doing: str, *, shown: bool, total: int | None = None) -> Iterable[Thing]:
    """Iterate over ``things`` with a bar on the terminal, labelled ``doing``, which disappears at the end. No bar is
    drawn into a file, where it would leave an empty line."""
    console = Console(stderr=True)
    hidden = not (shown and console.is_terminal)
    return track(things, escape(doing), total, console=console, disable=hidden, transient=True)


class UnitProgress:
    """A bar of units, updated as they are committed and labelled ``doing``. Units of an earlier run (``done``) fill the
    bar but do not count in the rate."""

    def __init__(self, doing: str, images: int, done: Totals, *, shown: bool) -> None:
        self._done = done
        console = Console(stderr=True)
        if console.is_jupyter:  # where rich's bar needs ipywidgets, or each of its states is kept
            console = Console(stderr=True, force_jupyter=False, force_terminal=False)
        self._in_a_log = shown and not console.is_terminal
        self._told_at = time.monotonic()
        self._progress = Progress(
            TextColumn(doing),
            BarColumn(bar_width=None, table_column=Column(max_width=40)),  # what the numbers leave at 80 columns
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[rate]} images/s, {task.fields[rejects]} rejected{task.fields[busy]}"),
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
            TextColumn("left"),
            console=console,
            disable=not shown,
        )
        self._task = self._progress.add_task(
            "", total=images, completed=done.rows, rate="-", rejects=done.rejects, busy=""
        )

    def __enter__(self) -> UnitProgress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, new: Totals, times: RunTime) -> None:
        """Update the bar with the sums and the times of this run."""
        rate, busy = times.rate(new.rows), new.utilisation()
        self._progress.update(
            self._task,
            completed=self._done.rows + new.rows,
            rejects=self._done.rejects + new.rejects,
            rate="-" if rate is None else f"{rate:.1f}",
            busy="" if busy is None else f", model {busy:.0%}",
        )
        is_last = self._progress.finished  # which is told when the bar stops
        if self._in_a_log and not is_last and time.monotonic() - self._told_at >= LOG_EVERY_S:
            self._told_at = time.monotonic()
            self._progress.console.print(self._progress.get_renderable())
