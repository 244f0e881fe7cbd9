"""Calls in clean processes, and labelling jobs that die by SIGKILL at a chosen moment, each in one of its own.

What is on a disk can differ only between the calls by which files take their names, or go: these are the moments.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Sequence
from functools import cache
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from labelled_datasets import label_inline

from schemas.recipes import LabelRecipe


@cache
def clean_processes() -> BaseContext:
    """Processes that start from a clean one with everything imported: quick, and free of this process's threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["pipelines.generation", "engine.phrases", "teacher.worker", "teacher.glip_grounder"]
    )
    return context


def call_apart(function: Callable[..., Any], *arguments: Any, timeout_s: float = 300) -> Any:
    """What the function gives in a clean process; AssertionError with its traceback where it raises, or dies."""
    answer, send = Pipe(duplex=False)
    process = clean_processes().Process(target=_call_and_send, args=(send, function, arguments))
    process.start()
    send.close()  # the child's is the only one left, so that its death is the end of the file
    try:
        assert answer.poll(timeout_s), f"no answer after {timeout_s} s"
        given, raised = answer.recv()
    except EOFError:
        process.join()
        raise AssertionError(f"the process ended with {process.exitcode} and no answer") from None
    finally:
        process.kill()
        process.join()
        answer.close()
    assert not raised, raised
    return given


def _call_and_send(send: Connection, function: Callable[..., Any], arguments: Sequence[Any]) -> None:
    try:
        send.send((function(*arguments), ""))
    except BaseException:
        send.send((None, traceback.format_exc()))


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
