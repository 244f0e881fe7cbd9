"""A Ray that is started in a container: without shared memory it works, and without a loopback the error says so."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

START_RAY = """
from engine.runner import connected
from engine.running.layout import Workers
with connected(Workers(count=1)) as ray:
    print("runs", ray.get(ray.remote(lambda it: len(it)).remote(ray.put(b"x" * 1_000_000))))
"""


def ray_in_a_container(isolated: str, prepared: str) -> subprocess.CompletedProcess[str]:
    """Start Ray in a namespace of its own, ``--net`` or ``--mount``, after a line of shell; skips where none can be
    made."""
    container = ["unshare", "--user", "--map-root-user", isolated, "sh", "-c", f'{prepared} && exec "$@"', "sh"]
    alone = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    try:
        subprocess.run([*container, "true"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no container can be made here: {error}")
    return subprocess.run(
        [*container, sys.executable, "-c", START_RAY], env=alone, capture_output=True, text=True, check=False
    )


def test_ray_starts_where_shared_memory_cannot_be_written() -> None:
    started = ray_in_a_container("--mount", "mount -t tmpfs -o ro none /dev/shm")
    assert started.stdout == "runs 1000000\n", started.stderr


def test_a_loopback_that_is_down_is_told_at_once() -> None:
    errors = ray_in_a_container("--net", "true").stderr
    assert "ValueError: Ray's processes cannot reach each other, since 127.0.0.1 does not answer" in errors
    assert "bring the loopback up (`ip link set lo up`), or work without Ray" in errors
