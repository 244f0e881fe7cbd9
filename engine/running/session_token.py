"""Gives a Ray that is started on this machine a token of its own where its user has none.

Ray writes one into the home (``~/.ray/auth_token``), and a container's user often has no home that can be written. Two
jobs that start at the same time there could also overwrite each other's.
"""

from __future__ import annotations

import os
import secrets

_THE_USERS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS")


def give_session_token() -> None:
    """Set ``RAY_AUTH_TOKEN`` for this process and those it starts, unless the user has a token, or a cluster whose
    token it would have to be."""
    in_the_home = os.path.expanduser("~/.ray/auth_token")
    if not any(map(os.environ.get, _THE_USERS)) and not os.path.exists(in_the_home):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
