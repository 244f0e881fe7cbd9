"""A Ray cluster on loopback, its nodes started as a user starts them; for `faults.py` and the tests.

In: the resources of each node. Out: its address and environment, and nodes that can be killed as by a power cut. The
nodes are real ones, processes of their own. A GPU of a node is only a number for Ray, by which a job gets the same
processes as beside a real one.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from job_processes import descendants, kill, wait_for

OBJECT_STORE_BYTES = 100_000_000
START_TRIES = 3  # Ray gives up a node whose agents take half a minute to start, as they may on a busy machine


class RayCluster:
    """Nodes with a token, a port and a folder of their own; the first one is the head."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ray"))  # it has sockets, whose paths must be short
        self.address = f"127.0.0.1:{free_port()}"
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self.environment = {**os.environ, **token, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
        self.nodes: list[subprocess.Popen[bytes]] = []

    def add_node(self, *, cpus: int = 1, gpus: int = 0, dashboard_port: int | None = None) -> subprocess.Popen[bytes]:
        """Start a node and wait until it runs. The first one has Ray's dashboard, which takes jobs, where it has a
        port (and `ray[default]` is installed)."""
        place = [f"--address={self.address}"]
        if not self.nodes:
            port = self.address.rpartition(":")[2]
            place = ["--head", f"--port={port}", f"--temp-dir={self.folder}"]
            place.append(f"--include-dashboard={'false' if dashboard_port is None else 'true'}")
            # Free ports, so that several heads can run on this machine.
            place += [f"--dashboard-port={dashboard_port or free_port()}", f"--ray-client-server-port={free_port()}"]
        limits = [f"--num-cpus={cpus}", f"--num-gpus={gpus}", f"--object-store-memory={OBJECT_STORE_BYTES}"]
        words = [sys.executable, "-m", "ray.scripts.scripts", "start", *place, *limits]
        words += ["--node-ip-address=127.0.0.1", "--block"]
        log = self.folder / f"node{len(self.nodes)}.log"
        for left in reversed(range(START_TRIES)):
            with log.open("wb") as output:
                node = subprocess.Popen(words, env=self.environment, stdout=output, stderr=output)
            self.nodes.append(node)
            try:
                wait_for(lambda: b"Ray runtime started" in log.read_bytes(), node, f"a Ray node (see {log})")
                break
            except TimeoutError:
                if not left or node.poll() is None:
                    raise
                self.nodes.pop()
        return node

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        """Kill the node's whole process tree at once, as by a power cut."""
        kill([node.pid, *descendants(node.pid)])
        node.wait()

    def stop(self) -> None:
        for node in self.nodes:
            if node.poll() is None:
                self.kill(node)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def ray_cluster() -> Iterator[RayCluster]:
    """A context with a cluster, at first without nodes; all nodes are killed at the end."""
    cluster = RayCluster()
    try:
        yield cluster
    finally:
        cluster.stop()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
