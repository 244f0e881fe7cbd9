"""Whether Ray's processes can reach each other: before a job begins, and, of a cluster's head, while it runs.

In: the address in ``RAY_ADDRESS``, or none. Out: an error that says what to do, or a warning. Ray itself tries for
minutes or for ever in silence, and ends a driver that has lost its head without a word.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ANSWER_S = 10.0  # the longest wait for a connection to be accepted
LOOK_S = 10.0
SILENT_TIMES = 2  # in a row, before the warning; Ray gives up after a minute

log = logging.getLogger(__name__)


def check_head(address: str) -> None:
    """ValueError where nothing answers at ``HOST:PORT``; addresses of other kinds are not asked."""
    try:
        _ask(address)
    except OSError as error:
        raise ValueError(
            f"RAY_ADDRESS is {address}, where nothing answers ({error}); start Ray there (`ray start --head`), or work "
            "on this machine alone without RAY_ADDRESS"
        ) from None


def check_loopback() -> None:
    """ValueError where this machine cannot reach itself."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as here:
            socket.create_connection(here.getsockname(), timeout=ANSWER_S).close()
    except OSError as error:
        raise ValueError(
            f"Ray's processes cannot reach each other, since 127.0.0.1 does not answer ({error}); bring the loopback "
            "up (`ip link set lo up`), or work without Ray (--inline, or training without --workers)"
        ) from None


@contextmanager
def watched_head(address: str, look_s: float = LOOK_S) -> Iterator[None]:
    """Log, once in each such phase, that the head does not answer any more."""
    done = threading.Event()
    threading.Thread(target=_watch, args=(address, look_s, done), name="head-watch", daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _watch(address: str, look_s: float, done: threading.Event) -> None:
    silent = 0
    while not done.wait(look_s):
        try:
            _ask(address)
            silent = 0
        except OSError as error:
            silent += 1
            if silent == SILENT_TIMES and not done.is_set():
                log.warning(
                    "the head of the Ray cluster at %s does not answer any more (%s); unless it is back within a "
                    "minute, Ray ends this job. Then start the cluster again, and run the same command: it resumes",
                    address,
                    error,
                )


def _ask(address: str) -> None:
    host, _, port = address.rpartition(":")
    if "://" not in address and host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
