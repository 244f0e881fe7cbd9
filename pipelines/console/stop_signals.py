"""SIGTERM, as a scheduler sends it: to a job of units, the first one ends it after the units in flight; the second, and
any to other work, is KeyboardInterrupt, as Ctrl-C gives it. To the embedded scheduler both are an event.

In: the signal. Out: a request to the job's ``Stopping``, KeyboardInterrupt, or the event.
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

    return _on({signal.SIGTERM}, stop)


def ended_by_sigterm() -> AbstractContextManager[None]:
    """Inside the block SIGTERM is KeyboardInterrupt, so that work can be left in order, and the stop told."""

    def end() -> None:
        raise KeyboardInterrupt

    return _on({signal.SIGTERM}, end)


@contextmanager
def stop_by_signal() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set, inside the block."""
    stop = threading.Event()
    with _on({signal.SIGTERM, signal.SIGINT}, stop.set):
        yield stop


@contextmanager
def _on(signals: set[signal.Signals], act: Callable[[], None]) -> Iterator[None]:
    """Outside the main thread, which alone is sent signals, nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: act()) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
