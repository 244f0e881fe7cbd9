"""Labelling jobs of the tests, and what two datasets are compared by."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import fsspec

from engine.artifacts import Store
from engine.shards import committed_units, read_shard
from pipelines.label import label
from pipelines.labelling.bookkeeping import LabelResult
from schemas.recipes import LabelRecipe, TeacherRecipe, WebDatasetSource


def label_inline(recipe: LabelRecipe, out: Path | str, **options: Any) -> LabelResult:
    """The job in this process, without a word."""
    return label(recipe, out, **{"backend": "inline", "progress": False, **options})


def tars_recipe(folder: Path, checkpoint: Path, unit_size: int) -> LabelRecipe:
    """Tars in a folder, labelled on the CPU, two pictures at once."""
    teacher = TeacherRecipe(checkpoint=str(checkpoint), device="cpu", batch_size=2)
    return LabelRecipe(source=WebDatasetSource(uri=str(folder)), teacher=teacher, unit_size=unit_size)


def tars_with_rejects(web: Any, folder: Path) -> Path:
    """Two tars: seven good samples, and one of each kind that a stage drops."""
    jpeg = web.jpeg()
    bad = [
        ("empty", jpeg, b" "),
        ("long", jpeg, b"a dog " * 2000),
        ("nothing", jpeg, b"running quickly"),
        ("noise", b"no picture", b"a dog"),
    ]
    members = [member for key, image, text in bad for member in ((f"{key}.jpg", image), (f"{key}.txt", text))]
    web.tar_of(folder / "0.tar", [*web.samples(4), ("../x.jpg", jpeg), *members])
    web.tar_of(folder / "1.tar", web.samples(3, first=4))
    return folder


def checksums(out: Path | str) -> dict[str, str]:
    """SHA-256 of every file of a folder or prefix but the manifests, which hold times."""
    files, root = fsspec.core.url_to_fs(str(out), use_listings_cache=False)
    names = {name: name.removeprefix(f"{root}/") for name in files.find(root)}
    kept = {name: short for name, short in sorted(names.items()) if not short.startswith("manifests/")}
    return {short: hashlib.sha256(files.cat_file(name)).hexdigest() for name, short in kept.items()}


def assert_nothing_is_half(out: Path | str) -> int:
    """Every committed shard can be read whole; returns how many there are."""
    store = Store(out)
    units = committed_units(store)
    for unit in units:
        list(read_shard(store, unit))
    return len(units)
