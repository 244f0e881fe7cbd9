"""What goes wrong in a store, in words: a full disk, an object store that does not answer.

In: whatever a file system or a store's client raises. Out: an error that says what, where and what to do. It is a
RuntimeError, but for a bucket that does not exist: that is a ValueError.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

CLIENTS = ("botocore", "aiobotocore", "aiohttp")  # whose errors are no OSError
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def naming_faults(path: str, done: str, *, local: bool) -> Iterator[None]:
    """Around what is ``done`` with the file at ``path``. FileNotFoundError of what is read goes through, as does what a
    local file system raises for any other reason than a full disk."""
    try:
        yield
    except FileNotFoundError as error:
        if local or done != "written":
            raise
        raise ValueError(f"{path} cannot be written ({error}); make the bucket, or give another address") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            what = f"there is no room for {path} ({error.strerror}); free some space"
        elif not local and (isinstance(error, OSError) or type(error).__module__.startswith(CLIENTS)):
            what = f"{path} cannot be {done} ({type(error).__name__}: {error}); see that the store answers"
        else:
            raise
        raise RuntimeError(f"{what}, and run the same command again") from error
