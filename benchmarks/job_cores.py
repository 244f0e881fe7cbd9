"""How many processor cores a labelling job needs beside its GPUs: processor seconds for 1,000 images, stage by stage.

    OMP_NUM_THREADS=1 python benchmarks/job_cores.py ../shared/data/photos/web
    OMP_NUM_THREADS=1 python benchmarks/job_cores.py ../shared/data/photos/web --long-side 1024

Runs the real job with a teacher that answers at once (`instant_teacher.py`): decoding, batches and answers at the sizes
of GLIP-T, no model. Once in this process, which gives the stages and their parts; once on Ray in the processes that a
job has beside a GPU (one reads and parses, one grounds, one writes; the GPU is only claimed), which gives what Ray adds
and how many images/s one core does of each. What Ray's own processes take goes rather by the second than by the image.
``--long-side`` enlarges the photos to the size that a web crawl has. What is printed is processor time, which depends
less than wall-clock on other work on the machine.
"""

from __future__ import annotations

import argparse
import gc
import io
import logging
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import instant_teacher
from job_processes import command_line
from PIL import Image
from processor_time import Place, clocked_functions, seconds_by_process
from stage_records import ProcessRecord, read_records, recorded_commit, recorded_stages
from web_tars import repeat_source, samples_of, write_tar

from engine import shards
from engine.artifacts import Store, digest_of
from engine.filtering import image_identity
from engine.runner import run
from engine.running.layout import Workers
from engine.sources import open_source
from pipelines.labelling import unit_commit
from pipelines.labelling.bookkeeping import digests_of
from pipelines.labelling.stages import stages
from schemas.recipes import FiltersRecipe, LabelRecipe, TeacherRecipe, WebDatasetSource
from schemas.shards import ShardManifest
from teacher import glip_grounder, worker

FILTERS = FiltersRecipe(min_image_side=100, max_image_aspect=3, min_caption_words=2, languages=("en",))
PARTS: dict[str, dict[str, list[Place]]] = {
    "identify": {"perceptual hash": [(image_identity, "phash_text")]},
    "ground": {
        "headers": [(worker, "open_picture"), (worker, "orientation_of")],
        "decode": [(worker, "as_rgb")],
        "resize": [(glip_grounder, "image_tensor")],
        "batches, tokens, answers": [(instant_teacher.InstantGrounder, "ground")],
    },
    "write": {
        "labels": [(unit_commit, "labelled_image")],
        "shard": [(shards, "_write_tar")],
        "tables": [(shards, "annotation_table"), (shards, "_write_table")],
    },
}
RAY_PROCESSES = ("raylet", "gcs_server")


@dataclass(frozen=True)
class Job:
    """A recipe with an existing source."""

    recipe: LabelRecipe
    scratch: Path

    def manifests(self, kind: str, workers: Workers | None = None) -> Iterator[ShardManifest]:
        """The manifests of the units, as they are committed; in this process unless workers are given."""
        source = open_source(self.recipe.source)
        refs = source.units(self.recipe.unit_size)
        digests = digests_of(self.recipe, source, refs)
        self.records(kind).mkdir()
        store = Store(self.scratch / kind)
        with (
            store.locked(),
            closing(
                run(
                    refs,
                    recorded_stages(stages(self.recipe, source), self.records(kind)),
                    recorded_commit(partial(unit_commit.open_commit, store, digests), self.records(kind)),
                    backend="ray" if workers else "inline",
                    workers=workers or Workers(),
                )
            ) as manifests,
        ):
            yield from manifests

    def records(self, kind: str) -> Path:
        return self.scratch / f"{kind}-records"


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        source, size = make_source(options.source, Path(scratch), options.images, options.long_side)
        recipe = LabelRecipe(
            source=WebDatasetSource(uri=str(source)),
            teacher=TeacherRecipe(grounder=instant_teacher.NAME, device="cpu"),
            filters=FILTERS,
            unit_size=options.unit_size,
        )
        print(f"{options.images} images of {size / 1000:.0f} kB, units of {options.unit_size}")
        job = Job(recipe, Path(scratch))
        print_stages(job)
        if not options.inline:
            print_processes(job, options.rate)


def make_source(uri: str, folder: Path, images: int, long_side: int | None) -> tuple[Path, float]:
    """Tars with ``images`` images, enlarged if ``long_side`` is given, and the mean size of a picture in bytes."""
    found = samples_of(WebDatasetSource(uri=uri))[:images]
    if long_side is not None:
        found = [replace(one, image=enlarged(one.image, long_side), extension="jpg") for one in found]
    (folder / "photos").mkdir()
    write_tar(folder / "photos" / "00000.tar", found)
    size = sum(len(one.image) for one in found) / len(found)
    return repeat_source(str(folder / "photos"), folder / "web", images), size


def enlarged(encoded: bytes, long_side: int) -> bytes:
    """The picture, resized to this long side, as a JPEG of quality 90."""
    with Image.open(io.BytesIO(encoded)) as image:
        factor = long_side / max(image.size)
        size = (round(image.width * factor), round(image.height * factor))
        file = io.BytesIO()
        image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(file, "JPEG", quality=90)
    return file.getvalue()


def print_stages(job: Job) -> None:
    """Measure one process without Ray: every stage, and its parts."""
    flat = {f"{stage}/{part}": places for stage, of_stage in PARTS.items() for part, places in of_stage.items()}
    images, digests, warm = 0, [], Counter[str]()
    with clocked_functions(flat) as seconds:
        for manifest in job.manifests("inline"):
            digests.append([file.sha256 for file in manifest.files])
            if len(digests) == 1:
                warm = seconds.copy()
                gc.freeze()  # as worker processes of a job do
            else:
                images += manifest.rows
    (record,) = read_records(job.records("inline"))
    print(f"\nshards and tables: {digest_of(digests)[:16]}\n")
    print("| processor seconds for 1,000 images | |\n| --- | --- |")
    for stage, taken in record.stages.items():
        print(f"| {stage} | {1000 * taken / images:.2f} |")
        for part in PARTS.get(stage, ()):
            name = f"{stage}/{part}"
            print(f"| … {part} | {1000 * (seconds[name] - warm[name]) / images:.2f} |")
    print(f"| between stages | {1000 * record.between / images:.2f} |")
    print(f"| sum | {1000 * record.whole / images:.2f} |")


def print_processes(job: Job, rate: float) -> None:
    """Measure each process on Ray beside a claimed GPU, and what a GPU of ``rate`` images/s needs of it."""
    rows, before, after = 0, dict[int, float](), dict[int, float]()
    with ray_with_a_gpu():
        for number, manifest in enumerate(job.manifests("ray", Workers(1, 1, wants_gpu=True))):
            after = seconds_by_process(os.getpid())
            rows += manifest.rows if number else 0
            before = before or after
        names = {pid: process_name(pid) for pid in after}
    others = Counter[str]()
    for pid, seconds in after.items():
        others[names[pid]] += seconds - before.get(pid, 0.0)  # type: ignore[assignment]
    print(f"\n| Ray, seconds for 1,000 images | stages | between | whole | images/s a core | cores at {rate:g}/s |")
    print("| --- | --- | --- | --- | --- | --- |")
    total = 0.0
    for record in sorted(read_records(job.records("ray")), key=lambda one: "ground" in one.stages):
        of_stages, between = (1000 * part / rows for part in (record.whole - record.between, record.between))
        total += of_stages + between
        print(f"| {process_of(record)} | {of_stages:.2f} | {between:.2f} | {line(of_stages + between, rate)}")
    for name in ("driver", *RAY_PROCESSES):
        total += 1000 * others[name] / rows
        print(f"| {name} | | | {line(1000 * others[name] / rows, rate)}")
    print(f"| sum | | | {total:.2f} | | {total * rate / 1000:.2f} |")


def line(seconds: float, rate: float) -> str:
    return f"{seconds:.2f} | {1000 / max(seconds, 1e-3):.0f} | {seconds * rate / 1000:.2f} |"


def process_of(record: ProcessRecord) -> str:
    return ", ".join(record.stages)


def process_name(pid: int) -> str:
    """``driver``, one of RAY_PROCESSES, or ``other``: workers record themselves, and agents do nothing here."""
    if pid == os.getpid():
        return "driver"
    program = os.path.basename(command_line(pid).split("\0")[0])
    return program if program in RAY_PROCESSES else "other"


@contextmanager
def ray_with_a_gpu() -> Iterator[None]:
    """A context with a running Ray that claims to have one GPU."""
    import ray

    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    ray.init(address="local", num_cpus=2, num_gpus=1, include_dashboard=False, **quiet)
    try:
        yield
    finally:
        ray.shutdown()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder of tars as img2dataset writes them")
    parser.add_argument("--images", type=int, default=800)
    parser.add_argument("--long-side", type=int, help="of the pictures, enlarged for it; as they are where not given")
    parser.add_argument("--unit-size", type=int, default=100)
    parser.add_argument("--rate", type=float, default=100.0, help="images/s of one GPU")
    parser.add_argument("--inline", action="store_true", help="without Ray")
    parser.add_argument("--scratch", help="folder for the sources and the labels")
    return parser.parse_args()


if __name__ == "__main__":
    main()
