"""What the exit status of a command says."""

from __future__ import annotations

DONE = 0
FAILED = 1
INVALID = 2  # bad usage or input
INTERRUPTED = 130  # by Ctrl-C, 128 + SIGINT as a shell tells it; by SIGTERM too
CLOSED = 141  # what reads the output has closed it (`| head`): 128 + SIGPIPE, as a shell tells it of other tools
REFUSED = 3  # `retrain`: the gate refused the student
BUSY = 75  # `retrain`: another process retrains into the registry; EX_TEMPFAIL, as sysexits.h has it
