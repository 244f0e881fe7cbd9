"""The folder in which a Ray that is started here keeps its sockets: whether their names fit.

In: ``RAY_TMPDIR``, else on Linux ``TMPDIR``, else /tmp, as Ray looks for it. Out: nothing, or why Ray could not start
there. Of a name that is too long Ray does not say what to do, and of one that is not ASCII not what is wrong.
"""

from __future__ import annotations

import os
import sys

_SOCKET = "/ray/session_2026-01-01_00-00-00_000000_{process}/sockets/plasma_store"  # its longest


def check_session_folder() -> None:
    """Before Ray is started on this machine. ValueError where its sockets could have no name."""
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
