"""``glip-engine serve``: a page on this machine to look closer at a dataset, and to say which boxes are right.

In: a dataset, a reviewer's name. Out: a server on the loopback until it is stopped, whose address has a token that is
made anew each time. Verdicts go into the dataset's own table (:mod:`engine.review.verdicts`).
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import logging
import secrets
import signal
import socket
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path

from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.log import server_logger

from pipelines.review.guard import Guard
from pipelines.review.server import application
from pipelines.review.session import ReviewSession
from schemas.recipes import SelectionChoice

LOOPBACK = "127.0.0.1"


def serve(
    dataset: str | Path,
    *,
    port: int = 0,
    reviewer: str | None = None,
    selection: SelectionChoice | None = None,
    browser: bool = False,
) -> dict[str, object]:
    """Serve until SIGINT or SIGTERM; ``port`` 0 is any free one. Returns how many verdicts hold in the end.

    ValueError where the dataset cannot be reviewed, or the port is taken.
    """
    with ReviewSession(dataset, reviewer or _own_name(), selection) as session, _bound(port) as bound:
        guard = Guard(secrets.token_urlsafe(32), bound.getsockname()[1])

        def ready() -> None:
            print(f"{dataset}: review as {session.reviewer!r} at\n  {guard.address()}\nCtrl-C stops it", flush=True)
            if browser:
                webbrowser.open(guard.address())

        asyncio.run(_run(session, guard, bound, ready))
        return {"dataset": str(dataset), "reviewer": session.reviewer, "verdicts": session.about()["verdicts"]}


def _own_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise ValueError("this account has no name; give one with --reviewer") from None


@contextlib.contextmanager
def _bound(port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((LOOPBACK, port))
        except (OSError, OverflowError) as error:
            raise ValueError(f"port {port} of {LOOPBACK} is not available ({error}); give another, or none") from None
        yield opened


class _NotTold(logging.Filter):
    """Filters out log records of what is no fault of the server: a browser that tries TLS first or leaves in the
    middle. Without this, aiohttp prints a traceback of it."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | ConnectionError)


async def _run(session: ReviewSession, guard: Guard, bound: socket.socket, ready: Callable[[], None]) -> None:
    runner = web.AppRunner(application(session, guard), access_log=None)
    not_told = _NotTold()
    server_logger.addFilter(not_told)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    await runner.setup()
    try:
        await web.SockSite(runner, bound).start()
        ready()
        await stopped.wait()
    finally:
        await runner.cleanup()
        server_logger.removeFilter(not_told)
