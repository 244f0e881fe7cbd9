"""Output that nobody reads: ``glip-engine … | head`` closes the pipe when it has seen enough, and a daemon may start
without any output (``>&-``).

In the first case Python raises BrokenPipeError. Other pipes and connections raise it too, so the kernel is asked which
one it was.
"""

from __future__ import annotations

import os
import select
import sys

STREAMS = {"stdin": "r", "stdout": "w", "stderr": "w"}
OUTPUTS = (1, 2)  # standard output, and standard error: `2>&1 | head`


def open_missing_streams() -> None:
    """Open /dev/null in the place of each standard stream that this process was started without. Otherwise the next
    file would get the stream's number, and what libraries and workers print would go into it."""
    while (opened := os.open(os.devnull, os.O_RDWR)) < len(STREAMS):
        os.set_inheritable(opened, True)
    os.close(opened)
    for number, (name, mode) in enumerate(STREAMS.items()):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def output_is_closed() -> bool:
    """Whether the reader of the standard output or the standard error is gone."""
    poll = select.poll()
    for output in OUTPUTS:
        poll.register(output, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def silence_output() -> None:
    """Whatever is still to be printed goes nowhere, so that the interpreter's last flush does not fail too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for output in OUTPUTS:
        os.dup2(nowhere, output)
    os.close(nowhere)
