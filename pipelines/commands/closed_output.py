"""Output whose reader is gone: ``glip-engine … | head`` closes the pipe when it has seen enough.

Python then raises BrokenPipeError. Other pipes and connections raise it too, so the kernel is asked which one it was.
"""

from __future__ import annotations

import os
import select

OUTPUTS = (1, 2)  # standard output, and standard error: `2>&1 | head`


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
