"""A Slurm cluster on loopback: its controller and a daemon for each node, all on this machine, started by this user.

In: Debian 12's packages `slurmctld`, `slurmd`, `slurm-client` and what they need: installed, or unpacked (`dpkg -x`)
into the folder that ``GLIP_ENGINE_SLURM`` names. Out: jobs that are queued, signalled and watched as a user does it.
"""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from job_processes import DEADLINE_S, wait_for
from ray_cluster import free_port

ROOT = Path(os.environ.get("GLIP_ENGINE_SLURM", "/"))
LIBRARIES = ROOT / "usr/lib/x86_64-linux-gnu"
PLUGINS = LIBRARIES / "slurm-wlm"


def slurm_is_here() -> bool:
    return all((ROOT / f"usr/sbin/{name}-wlm").exists() for name in ("slurmctld", "slurmd", "slurmstepd"))


class SlurmCluster:
    """Nodes of two CPUs each, with no authentication and no accounting: what a user may do on the loopback alone."""

    def __init__(self, folder: Path, nodes: int) -> None:
        self.folder = folder
        self.names = [f"n{number}" for number in range(1, nodes + 1)]
        (folder / "slurm.conf").write_text(self._configuration())
        libraries = {"SLURM_CONF": str(folder / "slurm.conf"), "LD_LIBRARY_PATH": f"{LIBRARIES}:{PLUGINS}"}
        self.environment = {**os.environ, **libraries, "PATH": f"{ROOT / 'usr/bin'}:{os.environ['PATH']}"}

    def _configuration(self) -> str:
        host, spool = socket.gethostname(), self.folder / "spool"
        (spool / "controller").mkdir(parents=True)
        settings = {
            "ClusterName": "loopback",
            "SlurmctldHost": f"{host}(127.0.0.1)",
            "SlurmctldPort": free_port(),
            "SlurmUser": getpass.getuser(),
            "SlurmdUser": getpass.getuser(),
            "AuthType": "auth/none",
            "CredType": "cred/none",
            "PluginDir": PLUGINS,
            "StateSaveLocation": spool / "controller",
            "SlurmdSpoolDir": spool / "%n",
            "SlurmctldPidFile": spool / "controller.pid",
            "SlurmdPidFile": spool / "%n.pid",
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "JobAcctGatherType": "jobacct_gather/none",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_CPU",
            "SlurmdParameters": "config_overrides",
            "SchedulerParameters": "sched_interval=2",
            "ReturnToService": 2,
            "KillWait": 20,
        }
        lines = [f"{name}={value}" for name, value in settings.items()]
        for name in self.names:
            (spool / name).mkdir()
            lines.append(f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()} CPUs=2")
        return "\n".join([*lines, "PartitionName=all Nodes=ALL Default=YES State=UP\n"])

    @contextmanager
    def running(self) -> Iterator[None]:
        """The daemons run inside the block; no job outlives it."""
        step = str(ROOT / "usr/sbin/slurmstepd-wlm")
        daemons = [self._daemon("slurmctld", "-D", "-c")]
        daemons += [self._daemon("slurmd", "-D", "-d", step, "-N", name) for name in self.names]
        self._controller = daemons[0]
        try:
            self.wait_for(lambda: self.run("sinfo", "-h", "-o", "%T").split() == ["idle"], "the nodes")
            yield
            self.run("scancel", "--full", "--user", getpass.getuser())
            self.wait_for(lambda: not self.run("squeue", "-h"), "the end of the jobs")
        finally:
            for daemon in daemons:
                daemon.terminate()
                daemon.wait(DEADLINE_S)

    def _daemon(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        command = [str(ROOT / f"usr/sbin/{name}-wlm"), *words]
        with (self.folder / f"{name}{words[-1]}.log").open("wb") as log:
            return subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)

    def wait_for(self, what: Callable[[], Any], told: str) -> Any:
        """The first true value of ``what``."""
        return wait_for(what, self._controller, f"{told} (see {self.folder})")

    def run(self, *words: str) -> str:
        """What a command of Slurm prints."""
        done = subprocess.run(words, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """What the controller says of a job, in one word."""
        return self.run("squeue", "-h", "-t", "all", "-j", job, "-o", "%T")

    def output(self, job: str) -> str:
        """What a job has printed, all its runs together."""
        path = self.folder / f"slurm-{job}.out"
        return path.read_text() if path.exists() else ""
