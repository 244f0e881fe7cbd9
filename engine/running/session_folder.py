"""The folder in which a Ray that is started here keeps its sockets: whether their names fit.

In: ``RAY_TMPDIR``, else ``TMPDIR``, else /tmp, as Ray looks for it. Out: nothing, or why Ray could not start there. Of
a name that is too long Ray does not say what to do, and of one that is not ASCII not what is wrong.
"""

from __future__ import annotations

import os

MAX_SOCKET_BYTES = 107  # of the path of a socket, on Linux
_SOCKET = "/ray/session_2026-01-01_00-00-00_000000_{process}/sockets/plasma_store"  # its longest


def check_session_folder() -> None:
    """Before Ray is started on this machine. ValueError where its sockets could have no name."""
    variable = next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in os.environ), None)
    if variable is None:
        return
    folder = os.environ[variable]
    most = MAX_SOCKET_BYTES - len(_SOCKET.format(process=os.getpid()))
    if not folder.isascii() or len(folder) > most:
        raise ValueError(
            f"{variable} is {folder!r}, where Ray cannot have its sockets: the name may have {most} bytes, all of them "
            "ASCII; set RAY_TMPDIR to another folder, such as /tmp"
        )
