"""What `soak.py` watches: jobs of the product, each as long as somebody lets it run.

In: a folder. Out: the command, started, and how many of its units are done.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from fault_bench import object_store
from misbehaving_server import MisbehavingServer
from soak_reviewer import Reviewer
from soak_sources import SIDE, write_tars, write_urls

from engine.artifacts import Store
from engine.gold import import_gold
from glip.checkpoint import save_model
from glip.config import GLIPConfig
from glip.model import GLIP
from glip.model_folder import path_of
from glip.tokens import load_tokenizer
from schemas.recipes import ScenesSource
from student.training_log import LOSSES, figures_of

UNIT = 10  # samples of a unit
FAULT_EVERY = 100  # requests to the object store of which one fails
# Sizes of a student whose steps take milliseconds.
TINY: dict[str, Any] = {"swin_embed_dim": 8, "swin_depths": (1, 1, 1, 1), "swin_heads": (1, 1, 1, 1), "swin_window": 4}
TINY |= {"channels": 16, "head_layers": 1, "fusion_width": 16, "fusion_heads": 2, "head_norm_groups": 2}
TINY |= {"text_width": 16, "text_layers": 1, "text_heads": 2, "text_intermediate": 16}
Started = tuple["subprocess.Popen[str]", Callable[[], int]]


@contextmanager
def label(folder: Path, units: int) -> Iterator[Started]:
    """On Ray, with nano; its units are those that are committed."""
    write_tars(folder / "source", UNIT * units)
    yield start_label(folder, str(folder / "source"), str(folder / "out"))


@contextmanager
def urls(folder: Path, units: int) -> Iterator[Started]:
    """The same of pictures that it downloads, from a server that misbehaves."""
    with MisbehavingServer(folder / "web").in_a_thread() as server:
        listed = write_urls(folder, server.url(""), UNIT * units)
        own = ("source.allow_private=true", "source.timeout_s=2", "source.retries=1")
        yield start_label(folder, str(listed), str(folder / "out"), *own)


@contextmanager
def s3(folder: Path, units: int) -> Iterator[Started]:
    """The same from an object store and into it, which fails now and then."""
    write_tars(folder / "source", UNIT * units)
    with object_store() as store:
        fsspec.filesystem("s3").put(str(folder / "source"), "bucket/source", recursive=True)
        store.misbehave("500", every=FAULT_EVERY)
        yield start_label(folder, "s3://bucket/source", "s3://bucket/out")


@contextmanager
def train(folder: Path, units: int) -> Iterator[Started]:
    """Of a tiny model, on datasets of many shards, with checkpoints and an evaluation of each; its units are steps."""
    for seed, name in enumerate(("human", "more", "exam")):
        import_gold("scenes", ScenesSource(count=400, seed=seed), folder / name, unit_size=UNIT)
    config, tokenizer = GLIPConfig.nano(), load_tokenizer(path_of("nano"))
    recipe = {
        "mix": [{"dataset": str(folder / name)} for name in ("human", "more")],
        "sampling": {"repeat_threshold": 0.05},
        "init": str(save_model(folder / "init", GLIP(dataclasses.replace(config, **TINY)), tokenizer, {})),
        "steps": units,
        "batch_size": 2,
        "min_sizes": (SIDE // 2, SIDE),
        "max_size": 2 * SIDE,
        "scale_jitter": (0.7, 1.5),
        "caption_negatives": 4,
        "checkpoint_every": 200,
        "evaluation": {"datasets": [str(folder / "exam")], "metric": "phrase_recall@1", "limit": 4, "min_size": SIDE},
    }
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    job = start(folder, "train", "--recipe", str(folder / "recipe.yaml"), "--out", str(folder / "out"))
    yield job, lambda: steps_of(folder / "out" / LOSSES)


@contextmanager
def serve(folder: Path, units: int) -> Iterator[Started]:
    """Of drawn scenes; its units are the requests of a reviewer who looks, searches and judges without rest."""
    import_gold("scenes", ScenesSource(count=400, seed=1), folder / "human", unit_size=20)
    job = start(folder, "serve", str(folder / "human"), "--reviewer", "soak", stdout=subprocess.PIPE)
    assert job.stdout is not None
    address = next(line.strip() for line in job.stdout if "http://" in line)
    reviewer = Reviewer(address)
    threading.Thread(target=reviewer.work, args=(units,), daemon=True).start()
    yield job, lambda: reviewer.asked


JOBS = {"label": label, "urls": urls, "s3": s3, "train": train, "serve": serve}


def start_label(folder: Path, source: str, out: str, *fields: str) -> Started:
    """On small pictures; its units are those that are committed."""
    size = [f"teacher.{name}={SIDE}" for name in ("min_size", "max_size")]
    settings = [("--set", field) for field in (f"unit_size={UNIT}", "teacher.device=cpu", *size, *fields)]
    job = start(folder, "label", source, "--out", out, *(word for setting in settings for word in setting))
    return job, lambda: len(Store(out).names("manifests"))


def start(folder: Path, *words: str, stdout: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    """A command of the product whose temporary files lie in ``folder/tmp``."""
    environment = os.environ | {"TMPDIR": str(folder / "tmp"), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "pipelines.cli", *words]
    return subprocess.Popen(command, stdout=stdout, stderr=subprocess.DEVNULL, text=True, env=environment)


def steps_of(log: Path) -> int:
    """The steps that a run's log tells of."""
    lines = log.read_bytes().splitlines(keepends=True) if log.is_file() else []
    return next((int(found["step"]) for line in reversed(lines) if (found := figures_of(line))), 0)
