"""Labelling jobs in a process of their own with bounded memory and time, for hostile input, and what came of it."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from killed_jobs import call_apart
from labelled_datasets import label_inline
from stored_samples import samples_in

from pipelines.verify import verify
from schemas.recipes import LabelRecipe, TeacherRecipe
from schemas.shards import SampleLabels

ADDRESS_SPACE = 12 << 30  # torch alone maps some gigabytes


@dataclass(frozen=True)
class Labelled:
    """What became of each sample: its labels, or its rejects as (reason, message)."""

    labels: dict[str, SampleLabels]
    images: dict[str, bytes]
    rejects: list[dict[str, str]]
    peak_bytes: int
    processor_seconds: float

    def reason(self, key: str) -> str | None:
        return next((row["reason"] for row in self.rejects if row["key"] == key), None)


def label_apart(source: Any, folder: Path, **fields: Any) -> Labelled:
    """Label by nano in a process of its own, whose working folder is empty and must stay so; verified."""
    teacher = TeacherRecipe(checkpoint="nano", device="cpu")
    recipe = LabelRecipe(source=source, teacher=teacher, min_score=0.0001, **fields)
    (folder / "elsewhere").mkdir()
    before = sorted(path for path in folder.rglob("*") if "out" not in path.parts)
    peak_bytes, processor_seconds = call_apart(_label, recipe, str(folder))
    after = sorted(path for path in folder.rglob("*") if path != folder / "out" and folder / "out" not in path.parents)
    assert after == before  # nothing is written outside of the output
    assert verify(folder / "out", progress=False).problems == []
    return _read_labelled(folder / "out", peak_bytes, processor_seconds)


def _label(recipe: LabelRecipe, folder: str) -> tuple[int, float]:
    """The most memory that the job ever had, in bytes, and the processor's seconds that it took."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.chdir(f"{folder}/elsewhere")
    label_inline(recipe, f"{folder}/out")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, time.process_time()


def _read_labelled(out: Path, peak_bytes: int, processor_seconds: float) -> Labelled:
    samples = samples_in(out)
    rejects = [row for path in sorted((out / "rejects").iterdir()) for row in pq.read_table(path).to_pylist()]
    labels = {sample.labels.key: sample.labels for sample in samples}
    images = {sample.labels.key: sample.image for sample in samples}
    return Labelled(labels, images, rejects, peak_bytes, processor_seconds)
