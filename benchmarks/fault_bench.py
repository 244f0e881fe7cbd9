"""The test bench of `faults.py`: sixty drawn scenes in three tars, the job that labels them, and checks of its result.

In: an empty folder. Out: jobs as a user runs them, from the command line in processes of their own; their checksums;
the result of `verify`. Signals go only to processes that were started here, by process id.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from job_processes import DEADLINE_S, command_line, descendants, wait_for
from web_tars import samples_of, write_tar

from engine.artifacts import Store
from engine.shards import committed_units, read_manifest, read_shard
from pipelines.verify import verify
from schemas.recipes import ScenesSource

SCENES, TARS, UNIT = 60, 3, 5
UNITS = SCENES // UNIT
ROOT = Path(__file__).parents[1]
FOLDERS = ("shards", "annotations", "rejects")


class BrokenPromiseError(Exception):
    """A guarantee did not hold; the message says which."""


class NotHereError(Exception):
    """This machine cannot produce the fault; the message says why."""


class FaultBench:
    """A source, an undisturbed run on it, and methods for other runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = folder / "source"
        self.source.mkdir(parents=True)
        write_tars(self.source)
        self.run(self.source, folder / "undisturbed", "--inline")
        self.expected = checksums(folder / "undisturbed")

    def out(self, name: str) -> Path:
        return self.folder / name

    def command(self, source: Path | str, out: Path | str, *options: str) -> list[str]:
        fixed = ("--json", "--set", f"unit_size={UNIT}", "--set", "teacher.device=cpu")
        return [sys.executable, "-m", "pipelines.cli", "label", str(source), "--out", str(out), *fixed, *options]

    def start(
        self, source: Path | str, out: Path | str, *options: str, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a job."""
        return subprocess.Popen(
            self.command(source, out, *options),
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self,
        source: Path | str,
        out: Path | str,
        *options: str,
        status: int = 0,
        env: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Run a job, which must exit with `status`; returns the JSON that it prints."""
        return ended(self.start(source, out, *options, env=env), status)

    def check(self, out: Path | str, expected: Mapping[str, str] | None = None) -> None:
        """BrokenPromiseError where the bytes differ from those of the undisturbed run, or `verify` finds a problem."""
        found, wanted = checksums(out), self.expected if expected is None else expected
        other = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
        if other:
            raise BrokenPromiseError(f"{len(other)} files differ from the undisturbed run, the first is {other[0]}")
        problems = verify(out, progress=False).problems
        if problems:
            raise BrokenPromiseError(f"verify: {problems[0]}")


def ended(job: subprocess.Popen[str], status: int = 0) -> dict[str, Any]:
    """The JSON that a job prints when it ends; BrokenPromiseError where it does not end, or with another status."""
    try:
        out, err = job.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        killed(job)
        raise BrokenPromiseError(f"the job hangs: no end in {DEADLINE_S:.0f} s") from None
    if job.returncode != status:
        raise BrokenPromiseError(f"the job ended with {job.returncode}, not {status}: {err.strip()[-500:]}")
    if "Traceback" in err:
        raise BrokenPromiseError(f"the job ended with a traceback: {err.strip()[-500:]}")
    try:
        answer: dict[str, Any] = json.loads(out) if out.strip() else {}
    except ValueError:
        raise BrokenPromiseError(f"with --json the job printed: {out.strip()[:500]}") from None
    return answer


def killed(job: subprocess.Popen[str]) -> None:
    """Send SIGKILL to the job, and discard its output."""
    job.kill()
    job.communicate()


def write_tars(folder: Path) -> None:
    """Write the scenes as tars of a web dataset."""
    scenes = samples_of(ScenesSource(count=SCENES))
    assert len(scenes) == SCENES
    each = SCENES // TARS
    for number in range(TARS):
        write_tar(folder / f"{number:05d}.tar", scenes[number * each : (number + 1) * each])


def checksums(out: Path | str) -> dict[str, str]:
    """SHA-256 of all files of a dataset, except the card, which names the source, and the manifests, which have
    times."""
    store = Store(out)
    names = [f"{folder}/{name}" for folder in FOLDERS for name in store.names(folder)]
    return {name: hashlib.sha256(store.read(name)).hexdigest() for name in names}


def samples(out: Path | str) -> dict[str, Any]:
    """The labels of all committed samples; raises where a committed shard is not whole."""
    store = Store(out)
    return {one.labels.key: one.labels for unit in committed_units(store) for one in read_shard(store, unit)}


def wait_for_units(out: Path | str, count: int, job: subprocess.Popen[str]) -> None:
    """Wait until ``count`` units are committed."""
    wait_for(lambda: len(committed_units(Store(out))) >= count, job, f"unit {count}")


def workers(pid: int) -> list[int]:
    """The Ray worker processes below the process ``pid``."""
    return [child for child in descendants(pid) if "UnitWorker" in command_line(child)]


def committers(out: Path) -> list[int]:
    """The ids of the processes that committed the units, from the manifests."""
    store = Store(out)
    manifests = [read_manifest(store, unit) for unit in committed_units(store)]
    return [int(one.worker.rpartition(":")[2]) for one in manifests if one is not None]


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A small disk, as a tmpfs; PermissionError where this user may not mount one."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        raise PermissionError(done.stderr.strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def enlarge_disk(folder: Path, kilobytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(folder)], check=True)


@contextmanager
def object_store() -> Iterator[Any]:
    """A real S3 API on loopback behind a proxy that can fail, and the environment variables for its clients."""
    import s3fs
    from misbehaving_store import MisbehavingStore
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    before = dict(os.environ)
    try:
        with MisbehavingStore(f"http://{host}:{port}").running() as store:
            os.environ.update({**keys, "AWS_ENDPOINT_URL": store.url})
            s3fs.S3FileSystem.clear_instance_cache()
            reset = urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")
            urllib.request.urlopen(reset).close()  # the process keeps what an earlier server had
            s3fs.S3FileSystem().mkdir("bucket")
            yield store
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        os.environ.clear()
        os.environ.update(before)
        server.stop()
