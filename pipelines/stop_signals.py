"""SIGTERM, as a scheduler sends it: the first one ends the job after the units in flight, the second at once.

In: the signal. Out: a request to the job's ``Stopping``, or KeyboardInterrupt, as Ctrl-C gives it. Work that has no
units to finish is ended at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from engine.stopping import Stopping

TOLD = b"glip-engine: SIGTERM: finishing the units that were begun; once more, or Ctrl-C, ends at once\n"


@contextmanager
def stopped_by_sigterm(stopping: Stopping) -> Iterator[None]:
    """Inside the block SIGTERM is handled so; outside the main thread, which alone is sent signals, nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if stopping.asked:
            raise KeyboardInterrupt
        stopping.request("SIGTERM")
        os.write(2, TOLD)  # print is not to be called in a handler

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Inside the block SIGTERM is KeyboardInterrupt, so that the stop can be put on record; but in the main thread
    alone. A labelling job inside it handles the signal as ever."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
