"""The sides of `peers.py`: the command line of each job, and the reader of its output folder.

In: tars and a folder. Out: a command line; the samples of a folder, each with its labels or its error.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from peer_job import labels_text

from engine.artifacts import Store
from engine.shards import committed_units, manifest_name, read_shard, rejects_name
from schemas.records import Candidate, Phrase
from schemas.shards import SampleLabels

HERE = Path(__file__).parent
UNIT_SIZE = 50


@dataclass(frozen=True)
class Sample:
    """One sample in an output folder: labels as of `peer_job.labels_text`, or the reason why there are none."""

    key: str
    labels: str
    error: str
    written_at: float


@dataclass(frozen=True)
class Found:
    """All readable samples of a folder, and the number of unreadable files with a final name."""

    samples: tuple[Sample, ...]
    unreadable: int

    def labels(self) -> dict[str, str]:
        """The labels by key, for samples that have some."""
        return {one.key: one.labels for one in self.samples if one.labels}


@dataclass(frozen=True)
class Side:
    """A job. ``module``: the package that it needs besides this project. ``parts``: the parts of the benchmark that it
    takes part in. ``again``: its options for a second run on a changed source."""

    name: str
    words: tuple[str, ...]
    read: Callable[[Path], Found]
    module: str | None = None
    parts: str = "speed kill bad"
    again: tuple[str, ...] = ()

    def command(self, source: Path, out: Path, python: str, *more: str) -> list[str]:
        """The command line: with this interpreter for this project, else with ``python``, which has the packages."""
        return [python if self.module else sys.executable, *self.words, str(source), "--out", str(out), *more]

    def sized(self, size: int | None) -> list[str]:
        """The options for images of another size than the model's own."""
        if size is None:
            return []
        fields = ["--set", f"teacher.min_size={size}", "--set", f"teacher.max_size={size}"]
        return ["--size", str(size)] if self.module else fields

    def is_there(self, python: str) -> bool:
        """Whether its tool is installed."""
        if self.module is None:
            return True
        return not subprocess.run([python, "-c", f"import {self.module}"], capture_output=True).returncode


def read_dataset(out: Path) -> Found:
    """The committed units of a dataset of this project."""
    store, samples = Store(out), list[Sample]()
    for unit in committed_units(store):
        at = (out / manifest_name(unit)).stat().st_mtime
        samples += [Sample(one.labels.key, _text_of(one.labels), "", at) for one in read_shard(store, unit)]
        rejects = pq.read_table(out / rejects_name(unit)).to_pylist()
        samples += [Sample(one["key"], "", one["reason"], at) for one in rejects]
    return Found(tuple(samples), 0)


def _text_of(labels: SampleLabels) -> str:
    phrases = [Phrase(one.text, one.start, one.end, one.head_lemma) for one in labels.phrases]
    return labels_text(phrases, [Candidate(one.phrase, one.box_xyxy, one.score) for one in labels.boxes])


def read_rows(out: Path) -> Found:
    """The Parquet files of a job of another tool."""
    samples, unreadable = list[Sample](), 0
    for file in sorted(out.rglob("*.parquet")):
        try:
            rows = pq.read_table(file, columns=["key", "labels", "error"]).to_pylist()
        except (OSError, ValueError):  # ArrowInvalid is one
            unreadable += 1
            continue
        samples += [Sample(one["key"], one["labels"], one["error"], file.stat().st_mtime) for one in rows]
    return Found(tuple(samples), unreadable)


OURS = ("-m", "pipelines.cli", "label")
RAY_DATA, CURATOR, DATATROVE = (str(HERE / f"peer_{name}.py") for name in ("ray_data", "curator", "datatrove"))
FIELDS = (f"unit_size={UNIT_SIZE}", "teacher.device=cpu", "teacher.batch_size=8", "teacher.threads=1")
SETTINGS = ("--json", "--workers", "2", *(word for field in FIELDS for word in ("--set", field)))
SIDES = (
    Side("glip-engine", (*OURS, *SETTINGS), read_dataset, again=("--relabel",)),
    Side("ray-data", (RAY_DATA, "--checkpoint"), read_rows, "ray.data"),
    Side("curator", (CURATOR, "--checkpoint"), read_rows, "nemo_curator"),
    Side("datatrove", (DATATROVE,), read_rows, "datatrove"),
    Side("ray-data without checkpoint", (RAY_DATA,), read_rows, "ray.data", "kill"),
    Side("ray-data, bad blocks skipped", (RAY_DATA, "--checkpoint", "--skip-bad-blocks"), read_rows, "ray.data", "bad"),
)
