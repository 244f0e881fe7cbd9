"""The command ``glip-engine``: arguments in, exit status out. Ctrl-C ends it with a line at any moment.

Next to nothing is imported here: the command line itself, which takes a large part of a second to import, is in
``pipelines/commands/command_line.py``.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pipelines.commands.exit_status import INTERRUPTED

TOLD = "glip-engine: error: interrupted\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (``pipelines.commands.command_line``). Without ``arguments`` they are
    those of this process, which ends after it."""
    with _interrupts_end_the_process():
        from pipelines.commands.command_line import run
    try:
        return run(arguments)
    except KeyboardInterrupt:  # before the command began, or once more while it was being told
        sys.stderr.write(TOLD)
        return INTERRUPTED
    finally:
        if arguments is None and _is_pythons():
            signal.signal(signal.SIGINT, _end)


@contextmanager
def _interrupts_end_the_process() -> Iterator[None]:
    """Inside, Ctrl-C is no exception: libraries that are being imported make others of it, or swallow it."""
    if not _is_pythons():
        yield
        return
    signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_pythons() -> bool:
    """Whether Ctrl-C is KeyboardInterrupt, in a thread that may change that; a shell's background job ignores it."""
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _end(*_: object) -> None:
    os.write(2, TOLD.encode())  # print is not to be called in a handler
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
