"""What goes wrong in a store, in words: a full disk, an object store that does not answer or refuses.

In: whatever a file system or a store's client raises. Out: an error that says what, where and what to do. It is a
RuntimeError, but for a bucket that does not exist: that is a ValueError.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import gettempdir

CLIENTS = ("botocore", "aiobotocore", "aiohttp")  # whose errors are no OSError
WITHOUT_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"}
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def naming_faults(path: str, done: str, *, local: bool) -> Iterator[None]:
    """Around what is ``done`` with the file at ``path``. FileNotFoundError of what is read stays one, with the path in
    it; what a local file system raises for any other reason than a full disk goes through."""
    try:
        yield
    except FileNotFoundError as error:
        if local:
            raise
        if done != "written":  # an object store's own says neither which bucket nor which file
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
        raise ValueError(f"{path} cannot be written ({error}); make the bucket, or give another address") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            # An object store has no end: what is put there is gathered in a temporary file.
            full = f"for {path}, or for temporary files in {gettempdir()}" if local else f"in {gettempdir()} for {path}"
            what = (
                f"there is no room {full} ({error.strerror}); free some space, or set TMPDIR to another disk's folder"
            )
        elif not local and (isinstance(error, OSError) or type(error).__module__.startswith(CLIENTS)):
            what = f"{path} cannot be {done} ({type(error).__name__}: {error}); {_advice(error)}"
        else:
            raise
        raise RuntimeError(f"{what}, and run the same command again") from error


def _advice(error: Exception) -> str:
    if isinstance(error, PermissionError) or type(error).__name__ in WITHOUT_CREDENTIALS:
        return (
            "give credentials that allow it (of S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile), on a "
            "cluster also where each node is started"
        )
    return "see that the store answers"
