"""Faults of a store as clear errors: a full disk, an object store that does not answer or refuses.

In: whatever a file system or a store's client raises. Out: a RuntimeError that says what, where and what to do; a
ValueError where a bucket does not exist.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import gettempdir

CLIENTS = ("botocore", "aiobotocore", "aiohttp")  # libraries whose errors are no OSError
WITHOUT_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"}
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
ADVICE = {  # by the code of S3's answer; to a HEAD it gives only the number of the status
    "RequestTimeTooSkewed": "set this machine's clock",
    "NotImplemented": "use a store with conditional puts (If-None-Match, If-Match), which keep two jobs apart",
    "400": "see that the credentials have not expired, and that AWS_ENDPOINT_URL, if it is set, is right",
}


@contextmanager
def naming_faults(path: str, done: str, *, local: bool) -> Iterator[None]:
    """A context for an operation on the file at ``path``; ``done`` is its past participle ("read", "written").

    A FileNotFoundError stays one unless a file was to be written to an object store, and gets the path. Errors of a
    local file system pass unchanged, except for a full disk.
    """
    try:
        yield
    except FileNotFoundError as error:
        if local:
            raise
        if done != "written":  # the object store's own error names neither bucket nor file
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
        raise ValueError(f"{path} cannot be written ({error}); make the bucket, or give another address") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            # An object store is never full, but what is written there is collected in a temporary file first.
            full = f"for {path}, or for temporary files in {gettempdir()}" if local else f"in {gettempdir()} for {path}"
            what = (
                f"there is no room {full} ({error.strerror}); free some space, or set TMPDIR to another disk's folder"
            )
        elif not local and (isinstance(error, OSError) or type(error).__module__.startswith(CLIENTS)):
            what = f"{path} cannot be {done} ({type(error).__name__}: {error}); {_advice(error)}"
        else:
            raise
        raise RuntimeError(f"{what}, and run the same command again") from error


def answer_code(error: Exception) -> str:
    """The code of S3's answer, such as ``SlowDown``; empty where the error is none of s3fs'."""
    answer = getattr(error.__cause__, "response", None) or {}  # an error of s3fs is caused by its client's
    return str(answer.get("Error", {}).get("Code", ""))


def _advice(error: Exception) -> str:
    if (code := answer_code(error)) in ADVICE:
        return ADVICE[code]
    if isinstance(error, PermissionError) or type(error).__name__ in WITHOUT_CREDENTIALS:
        return (
            "give credentials that allow it and have not expired (of S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or a profile), on a cluster also where each node is started"
        )
    return "see that the store answers"
