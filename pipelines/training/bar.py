"""Progress of a training run on the terminal: steps, loss, images a second, time left. In a log file: a line a minute.

In: the number of steps done and the latest figures, reported by the run in this process, or read from the log that
other processes write. Out: text for a person; nothing depends on it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from schemas.recipes import TrainRecipe
from student.training_log import figures_of

TAIL_BYTES = 16_384  # enough for several lines of a log


class TrainingBar:
    """A progress bar, or lines of text where there is no terminal; nothing unless ``enabled``."""

    LOG_EVERY_SECONDS = 60.0

    def __init__(self, recipe: TrainRecipe, *, enabled: bool) -> None:
        console = Console(stderr=True)
        self._prints_lines = enabled and not console.is_terminal
        columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[figures]}"))
        self._progress = Progress(
            *columns,
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not (enabled and console.is_terminal),
        )
        self._task = self._progress.add_task("training", total=recipe.steps, figures="")
        self._steps, self._printed_at = recipe.steps, 0.0
        self._found: dict[str, float] | None = None

    def __enter__(self) -> TrainingBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @contextmanager
    def following(self, log: Path, every_s: float = 1.0) -> Iterator[None]:
        """A context in which the ``log`` that other processes write is shown, and its last line at the end."""
        ended = threading.Event()

        def follow() -> None:
            while not ended.wait(every_s):
                self._show_last(log)

        thread = threading.Thread(target=follow, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self._show_last(log)

    def _show_last(self, log: Path) -> None:
        found = _last_figures(log)
        if found is not None and found != self._found:
            self._found = dict(found)
            self.report(int(found.pop("step")), found)

    def report(self, steps: int, figures: dict[str, float]) -> None:
        """Show the number of steps done, with the latest figures."""
        text = _figures(figures)
        self._progress.update(self._task, completed=steps, figures=text)
        now = time.monotonic()
        if self._prints_lines and (now - self._printed_at > self.LOG_EVERY_SECONDS or steps == self._steps):
            self._printed_at = now
            print(f"step {steps}/{self._steps}  {text}".rstrip(), flush=True)


def _last_figures(log: Path) -> dict[str, float] | None:
    """The figures of the last whole line; None where there is none yet."""
    if not log.is_file():
        return None
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        lines = file.read().splitlines(keepends=True)
    return next((found for line in reversed(lines) if (found := figures_of(line)) is not None), None)


def _figures(figures: dict[str, float]) -> str:
    if not figures:
        return ""
    losses = [value for name, value in figures.items() if name.startswith("loss")]
    skipped = int(figures.get("skipped_steps", 0))
    shown = [f"loss {sum(losses):.3f}"] if losses else []  # no loss, instead of 0, if all steps were skipped
    shown.append(f"{figures.get('images_per_second', 0.0):.1f} images/s")
    if skipped:
        shown.append(f"{skipped} {'step' if skipped == 1 else 'steps'} skipped: gradient not finite")
    return "  ".join(shown)
