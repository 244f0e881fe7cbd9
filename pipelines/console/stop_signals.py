"""What SIGTERM does, as a scheduler sends it.

The first one tells a job of units to end after the units in flight. The second one, and any one to other work, is
KeyboardInterrupt, as Ctrl-C. For the embedded scheduler, SIGTERM and Ctrl-C set an event.
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
    """Inside the block SIGTERM raises KeyboardInterrupt, so that work is left in order and the stop is reported."""

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
    """Call ``act`` on these signals inside the block. Outside the main thread, which alone receives signals, nothing
    changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: act()) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
