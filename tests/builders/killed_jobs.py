"""Labelling jobs that die by SIGKILL at a chosen moment, each in a process of its own.

What is on a disk can differ only between the calls by which files take their names, or go: these are the moments.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from functools import cache
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from labelled_datasets import label_inline

from schemas.recipes import LabelRecipe


@cache
def clean_processes() -> BaseContext:
    """Processes that start from a clean one with everything imported: quick, and free of this process's threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pipelines.label", "engine.phrases", "teacher.worker", "teacher.glip_grounder"])
    return context


def label_and_die(
    recipe: LabelRecipe, out: Path, moment: int, *, calls: Sequence[str] = ("replace",), after: bool = False, **job: Any
) -> None:
    """Label inline in another process, which gets SIGKILL at the ``moment``-th call of one of these functions of
    ``os``; ``after`` counts the moment after each call too."""
    process = clean_processes().Process(target=_label_and_die, args=(recipe, str(out), moment, calls, after, job))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def _label_and_die(
    recipe: LabelRecipe, out: str, moment: int, calls: Sequence[str], after: bool, job: dict[str, Any]
) -> None:
    die_at(moment, calls, after=after)
    label_inline(recipe, out, **job)


def die_at(moment: int, calls: Sequence[str], *, after: bool) -> Callable[[], int]:
    """SIGKILL for this process at the ``moment``-th call of one of these functions of ``os``; ``after`` counts the
    moment after each call too. Gives what tells how many moments have passed."""
    passed = 0

    def count() -> None:
        nonlocal passed
        passed += 1
        if passed == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(call: Callable[..., None]) -> Callable[..., None]:
        def count_and_call(*names: Any, **options: Any) -> None:
            count()
            call(*names, **options)
            if after:
                count()

        return count_and_call

    for name in calls:
        setattr(os, name, counted(getattr(os, name)))
    return lambda: passed
