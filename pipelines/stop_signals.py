"""SIGTERM, as a scheduler sends it: to a job of units, the first one ends it after the units in flight; the second, and
any to other work, is KeyboardInterrupt, as Ctrl-C gives it.

In: the signal. Out: a request to the job's ``Stopping``, or KeyboardInterrupt.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from engine.running.stopping import Stopping

TOLD = b"glip-engine: SIGTERM: finishing the units that were begun; once more, or Ctrl-C, ends at once\n"


def stopped_by_sigterm(stopping: Stopping) -> AbstractContextManager[None]:
    """Inside the block SIGTERM asks for a stop."""

    def stop() -> None:
        if stopping.asked:
            raise KeyboardInterrupt
        stopping.request("SIGTERM")
        os.write(2, TOLD)  # print is not to be called in a handler

    return _on_sigterm(stop)


def ended_by_sigterm() -> AbstractContextManager[None]:
    """Inside the block SIGTERM is KeyboardInterrupt, so that work can be left in order, and the stop told."""

    def end() -> None:
        raise KeyboardInterrupt

    return _on_sigterm(end)


@contextmanager
def _on_sigterm(act: Callable[[], None]) -> Iterator[None]:
    """Outside the main thread, which alone is sent signals, nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: act())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
