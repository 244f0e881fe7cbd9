"""The folders of a Ray that is started on this machine: one for its sockets, whose names are limited, and one for the
objects that processes share.

The first is ``RAY_TMPDIR``, else on Linux ``TMPDIR``, else /tmp, as Ray looks for it. Ray's own errors do not say what
to do about a name that is too long, or that one is not ASCII.
"""

from __future__ import annotations

import os
import sys
import tempfile

_SOCKET = "/ray/session_2026-01-01_00-00-00_000000_{process}/sockets/plasma_store"  # the longest one
SHARED_MEMORY = "/dev/shm"


def check_session_folder() -> None:
    """Raise ValueError where a Ray started on this machine could not name its sockets."""
    on_linux = sys.platform == "linux"
    names = ("RAY_TMPDIR", "TMPDIR") if on_linux else ("RAY_TMPDIR",)  # a Mac's own TMPDIR is too long
    variable = next((name for name in names if name in os.environ), None)
    if variable is None:
        return
    folder = os.environ[variable]
    most = (107 if on_linux else 103) - len(_SOCKET.format(process=os.getpid()))
    if not folder.isascii() or len(folder) > most:
        raise ValueError(
            f"{variable} is {folder!r}, where Ray cannot have its sockets: the name may have {most} bytes, all of them "
            "ASCII; set RAY_TMPDIR to another folder, such as /tmp"
        )


def folder_of_objects() -> str | None:
    """The folder for Ray's shared objects: None, which is Ray's own choice, or the one for temporary files where a
    container has no shared memory that can be written."""
    if sys.platform != "linux" or os.access(SHARED_MEMORY, os.W_OK):
        return None
    return tempfile.gettempdir()
