"""``deploy/slurm``: what a shell and this command line take; and, where Slurm is installed, the labelling job on three
nodes, told to stop in the middle, queued again, in the end the bytes of the inline run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from fault_bench import committers
from labelled_datasets import checksums, label_inline, tars_recipe
from python_paths import python_path
from slurm_cluster import SlurmCluster, slurm_is_here

from pipelines.commands.command_line import command_line
from pipelines.verify import verify

SCRIPT = Path(__file__).parents[1] / "deploy/slurm/glip-engine.sbatch"
NODES, UNITS = 3, 100


def test_the_script_is_one_that_bash_takes() -> None:
    done = subprocess.run(["bash", "-n", str(SCRIPT)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_command_that_it_shows_is_one() -> None:
    (command,) = re.findall(r"glip-engine\.sbatch \\\n# +(.*)", SCRIPT.read_text())
    assert command_line().parse_args(command.split()).source == "/shared/tars"


@pytest.fixture
def slurm(tmp_path: Path) -> Any:
    if not slurm_is_here():
        pytest.skip("no Slurm: GLIP_ENGINE_SLURM names no folder with Debian's slurmctld, slurmd and slurm-client")
    scripts = Path(sys.executable).parent
    if shutil.which("glip-engine", path=str(scripts)) is None:
        pytest.skip(f"glip-engine is not installed in {scripts}")
    cluster = SlurmCluster(tmp_path / "slurm", nodes=NODES)
    cluster.environment |= python_path() | {"PATH": f"{scripts}:{cluster.environment['PATH']}", "OMP_NUM_THREADS": "1"}
    with cluster.running():
        yield cluster


@contextmanager
def held_workers() -> Iterator[Callable[[Path], set[int]]]:
    """Inside, a function that stops each worker that has committed a unit, and gives these: the first ones would do all
    units while others still start. They go on at the end."""
    held: set[int] = set()

    def hold(out: Path) -> set[int]:
        for pid in set(committers(out)) - held:
            os.kill(pid, signal.SIGSTOP)
            held.add(pid)
        return held

    try:
        yield hold
    finally:
        for pid in held:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@pytest.mark.slow
def test_a_job_that_is_stopped_before_its_time_limit_goes_on_in_its_next_run(
    slurm: SlurmCluster, web: Any, random_checkpoint: Path, tmp_path: Path
) -> None:
    web.tar_of(tmp_path / "web/0.tar", web.samples(4 * UNITS))
    recipe = tars_recipe(tmp_path / "web", random_checkpoint, unit_size=4)
    (tmp_path / "recipe.yaml").write_text(recipe.model_dump_json())
    label_inline(recipe, tmp_path / "inline")
    out, log = tmp_path / "out", tmp_path / "log.jsonl"
    words = ["label", "--recipe", str(tmp_path / "recipe.yaml"), "--out", str(out), "--log", str(log), "--json"]
    job = slurm.run("sbatch", "--parsable", f"--nodes={NODES}", "--cpus-per-task=1", str(SCRIPT), *words)
    with held_workers() as hold:
        slurm.wait_for(lambda: out.exists() and len(hold(out)) == NODES, f"{NODES} workers of {slurm.output(job)}")
        slurm.run("scancel", "--batch", "--signal=USR1", job)
    slurm.wait_for(lambda: slurm.state(job) == "PENDING", "the job to be queued again")
    assert len(committers(out)) < UNITS
    slurm.run("scontrol", "update", f"JobId={job}", "StartTime=now")  # Slurm lets a job that is queued again wait
    slurm.wait_for(lambda: slurm.state(job) not in {"PENDING", "RUNNING", "COMPLETING"}, "the end of the job")
    assert slurm.state(job) == "COMPLETED", slurm.output(job)
    assert checksums(out) == checksums(tmp_path / "inline")
    assert verify(out, progress=False).problems == []
    ends = [line for line in map(json.loads, log.read_text().splitlines()) if line["event"] == "end"]
    assert [(end["stopped"], end["units_left"] > 0) for end in ends] == [("SIGTERM", True), (None, False)]
    assert not Path(f"/tmp/ray-{job}").exists()
