"""The lock of an object store: a small object that names its holder, renewed for as long as the holder lives.

In: a file system and the path of the lock. Out: one holder at a time.

A store has no kernel that would free the lock of a dead process, so the lock is a lease. Clocks of different machines
are never compared: every renewal changes the object, and a job that finds it watches by its own monotonic clock whether
it changes. If it does, the holder is alive, and the second job is refused. A holder that is silent for ``LEASE_S``, or
that was a process of this machine and is gone (which only Linux tells), is dead, and its lock is taken over. Creation,
renewal and takeover are conditional puts (``If-None-Match``, ``If-Match``), so that only one of two jobs succeeds.

A holder that was cut off for ``LEASE_S`` and comes back finds that its lock is taken, and stops at its next write.
Until then two jobs do the same work, which is harmless: an object is put whole, and the same work has the same bytes.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RENEW_S = 10.0
LEASE_S = 60.0
MAX_LOCK_BYTES = 10_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Found:
    """The lock object in the store; ``version`` is its ETag, None where the store has none."""

    content: bytes
    version: str | None

    @property
    def holder(self) -> dict[str, Any]:
        try:
            fields = json.loads(self.content)
        except (ValueError, RecursionError):
            return {}
        return fields if isinstance(fields, dict) else {}

    @property
    def token(self) -> str | None:
        return self.holder.get("token")


class Lease:
    """A lock that one process holds. ``lost`` is True once another process has taken it over."""

    def __init__(self, files: Any, path: str, shown: str, *, lease_s: float = LEASE_S) -> None:
        self._files, self._path, self._shown, self._lease_s = files, path, shown, lease_s
        self._holder = {"token": uuid.uuid4().hex, "host": socket.gethostname(), "process": process_identity()}
        self._version: str | None = None
        self._renewals = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self.lost = False

    @property
    def token(self) -> str:
        """The unique name of this holder."""
        return str(self._holder["token"])

    def take(self) -> None:
        """Acquire the lock, and renew it in a thread from then on. ValueError where another job holds it."""
        self._acquire()
        self._thread.start()

    def give_back(self) -> None:
        """Stop the renewals, and delete the lock unless another process has it by now. Never raises."""
        self._done.set()
        self._thread.join()
        try:
            found = self._read()
            self.lost = found is None or found.token != self.token
            if not self.lost:
                self._files.rm_file(self._path)
        except Exception as error:  # no reason to fail: the work is done, and the lock of a silent holder expires
            log.warning("the lock %s could not be removed: %s: %s", self._path, type(error).__name__, error)

    def _acquire(self) -> None:
        waiting_since, first = time.monotonic(), None
        while not self._put(None):
            found = self._read()
            if found is None:
                continue  # released just now
            alive = _lives_here(found.holder)
            if alive or (first is not None and found.content != first.content):
                raise ValueError(f"{self._refusal(found)}; wait for it, or stop it")
            if alive is False or time.monotonic() - waiting_since > self._lease_s:
                self._take_over(found)
                return
            if first is None:
                log.warning("%s; waiting up to %.0f s for a sign of life of it", self._refusal(found), self._lease_s)
                first = found
            time.sleep(min(RENEW_S, self._lease_s) / 5)

    def _take_over(self, found: _Found) -> None:
        if found.version is None:
            raise ValueError(f"{self._refusal(found)}; if that job is dead, delete {self._path} and run again")
        if not self._put(found):
            raise ValueError(f"{self._refusal(found)}; wait for it, or stop it")

    def _keep(self) -> None:
        while not self._done.wait(min(RENEW_S, self._lease_s / 6)):
            if self._version is None:  # without conditional puts the lock is neither renewed nor taken over
                continue
            self._renewals += 1
            try:
                self.lost = not self._put(_Found(b"", self._version))
            except Exception as error:  # the store does not answer; once it does, it tells whether the lock is lost
                log.warning("the lock %s could not be renewed: %s: %s", self._path, type(error).__name__, error)
            if self.lost:
                return

    def _put(self, instead_of: _Found | None) -> bool:
        """Create the lock, or replace exactly ``instead_of``; returns False where another process has it."""
        content = json.dumps({**self._holder, "renewals": self._renewals}).encode()
        condition = {"mode": "create"} if instead_of is None else {"IfMatch": instead_of.version}
        try:
            self._files.pipe_file(self._path, content, **condition)
        except PermissionError:  # it says why; looking at the lock would only be refused, too, and without a reason
            raise
        except OSError as error:
            found = self._read()
            if found is None:  # released just now, unless the bucket does not exist or does not answer
                if isinstance(error, FileExistsError if instead_of is None else FileNotFoundError):
                    return False
                raise
        else:
            found = self._read()
        if found is None or found.token != self.token:
            return False
        self._version = found.version
        return True  # also if an earlier put succeeded and only its answer was lost

    def _read(self) -> _Found | None:
        return _read_lock(self._files, self._path)

    def _refusal(self, found: _Found) -> str:
        host = str(found.holder.get("host", "another machine"))[:100]
        return f"{self._shown} is being written by another job (on {host}, by its lock {self._path})"


def taken_over(root: str) -> str:
    """The message for a job whose lock was taken over."""
    return (
        f"{root} was taken over by another job, since this one gave no sign of life; what it committed is whole. "
        "Run the same command again when that job is done"
    )


def lease_holder(files: Any, path: str) -> str | None:
    """The token of the holder of the lock at ``path`` of an object store, None where nobody holds it."""
    found = _read_lock(files, path)
    return None if found is None else found.token


def _read_lock(files: Any, path: str) -> _Found | None:
    try:
        described = files.info(path)  # before the content: a put on an old version fails
        content = files.cat_file(path) if described["size"] <= MAX_LOCK_BYTES else b""
        return _Found(content, described.get("ETag"))
    except FileNotFoundError:
        return None


# ------------------------------------------------------------------------------------------------ of this machine


def process_identity() -> list[str | int] | None:
    """What distinguishes this process from every other one that this machine ever runs: boot id, namespace, process id
    and start time. None where the system does not tell."""
    return _identity_of(os.getpid())


def _identity_of(pid: int) -> list[str | int] | None:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        names = os.readlink("/proc/self/ns/pid")  # process ids are unique only in one container
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else [boot, names, pid, int(fields[19])]  # last: start, in ticks since the boot
    except (OSError, ValueError, IndexError):
        return None


def _lives_here(holder: dict[str, Any]) -> bool | None:
    """Whether the process of ``holder`` is running; None where it is not of this machine, so that nobody can tell."""
    own, other = process_identity(), holder.get("process")
    if own is None or not isinstance(other, list) or [*map(type, other)] != [*map(type, own)] or other[:2] != own[:2]:
        return None
    return _identity_of(other[2]) == other
