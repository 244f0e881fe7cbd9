"""Progress of a training run on the terminal: steps, loss, images a second, time left. In a log file: a line a minute.

In: the number of steps done and the latest figures. Out: what a person reads; nothing depends on it.
"""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from schemas.recipes import TrainRecipe


class TrainingBar:
    """A progress bar, or lines where there is no terminal; nothing where it is not ``enabled``."""

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

    def __enter__(self) -> TrainingBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def report(self, steps: int, figures: dict[str, float]) -> None:
        """Show that so many steps are done."""
        text = _figures(figures)
        self._progress.update(self._task, completed=steps, figures=text)
        now = time.monotonic()
        if self._prints_lines and (now - self._printed_at > self.LOG_EVERY_SECONDS or steps == self._steps):
            self._printed_at = now
            print(f"step {steps}/{self._steps}  {text}", flush=True)


def _figures(figures: dict[str, float]) -> str:
    losses = sum(value for name, value in figures.items() if name.startswith("loss"))
    return f"loss {losses:.3f}  {figures.get('images_per_second', 0.0):.1f} images/s" if figures else ""
