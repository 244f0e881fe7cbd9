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

INTERRUPTED_LINE = "glip-engine: error: interrupted\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (``pipelines.commands.command_line``).

    Without ``arguments`` it takes those of this process, which ends after it: from then on Ctrl-C only prints a line.
    """
    with _interrupts_end_the_process():
        from pipelines.commands.command_line import run
    try:
        return run(arguments)
    except KeyboardInterrupt:  # before the command began, or once more while it was being told
        sys.stderr.write(INTERRUPTED_LINE)
        return INTERRUPTED
    finally:
        if arguments is None and _is_pythons():
            signal.signal(signal.SIGINT, _end)


@contextmanager
def _interrupts_end_the_process() -> Iterator[None]:
    """Inside the block, Ctrl-C ends the process at once. As an exception it would meet libraries that are being
    imported, some of which turn it into another error or swallow it."""
    if not _is_pythons():
        yield
        return
    signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_pythons() -> bool:
    """Whether this is the main thread and Ctrl-C raises KeyboardInterrupt; in a shell's background job it is
    ignored."""
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _end(*_: object) -> None:
    os.write(2, INTERRUPTED_LINE.encode())  # print is not to be called in a handler
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
