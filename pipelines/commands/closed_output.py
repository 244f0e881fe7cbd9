"""Output that nobody reads any more: ``glip-engine … | head`` closes the pipe when it has seen enough.

Python raises BrokenPipeError then, of which there are others (a worker's pipe, a connection): the kernel tells which.
"""

from __future__ import annotations

import os
import select

OUTPUTS = (1, 2)  # standard output, and standard error: `2>&1 | head`


def output_is_closed() -> bool:
    """Whether what is printed cannot be delivered."""
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
