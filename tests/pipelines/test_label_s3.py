"""The labelling job on ``s3://``: the same bytes and the same promises as in a folder, whatever the store does.

The store is a real S3 API on loopback; between it and the job stands a proxy that fails as asked
(``benchmarks/misbehaving_store.py``). Pictures are read from it too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from labelled_datasets import assert_nothing_is_half, checksums, label_inline
from misbehaving_store import MisbehavingStore

from engine.artifacts import LOCK, Store
from engine.shards import manifest_name
from pipelines.verify import verify
from schemas.recipes import LabelRecipe, TeacherRecipe, WebDatasetSource

FAULTS = ("500", "503", "slow", "cut", "reset", "lost")
UNITS = 3  # of the source: one before a fault, one at it, one after it


@pytest.fixture
def store(s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The misbehaving store before ``s3_bucket``, which every client of this process now speaks to."""
    import s3fs

    with MisbehavingStore(os.environ["AWS_ENDPOINT_URL"]).running() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        s3fs.S3FileSystem.clear_instance_cache()
        yield running
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def recipe(web: Any, tmp_path: Path, random_checkpoint: Path, s3_bucket: str) -> LabelRecipe:
    import s3fs

    web.tar_of(tmp_path / "web/0.tar", [*web.samples(5), ("x.jpg", b"noise"), ("x.txt", b"a dog")])
    web.tar_of(tmp_path / "web/1.tar", web.samples(3, first=5))
    s3fs.S3FileSystem().put(str(tmp_path / "web"), f"{s3_bucket}/web", recursive=True)
    teacher = TeacherRecipe(checkpoint=str(random_checkpoint), device="cpu", batch_size=2)
    return LabelRecipe(source=WebDatasetSource(uri=f"{s3_bucket}/web"), teacher=teacher, unit_size=3)


@pytest.fixture
def expected(recipe: LabelRecipe, tmp_path: Path) -> dict[str, str]:
    label_inline(recipe, tmp_path / "local")
    return checksums(tmp_path / "local")


def test_a_store_gets_the_bytes_of_a_folder_and_a_rerun_does_nothing(
    recipe: LabelRecipe, expected: dict[str, str], store: Any, s3_bucket: str
) -> None:
    out = f"{s3_bucket}/some/out"
    assert label_inline(recipe, out).new_units == UNITS
    assert checksums(out) == expected
    assert verify(out, progress=False).problems == []
    files = Store(out)._files
    before = {name: (entry["ETag"], entry["LastModified"]) for name, entry in files.find(out, detail=True).items()}
    assert label_inline(recipe, out).new_units == 0
    after = {name: (entry["ETag"], entry["LastModified"]) for name, entry in files.find(out, detail=True).items()}
    assert after == before
    assert len(after) == 1 + 4 * UNITS  # the card and four files a unit: no lock, nothing temporary


@pytest.mark.parametrize("fault", [pytest.param("500", marks=pytest.mark.slow), "half"])
def test_a_store_that_fails_for_good_ends_the_job_with_whole_units_and_the_next_run_goes_on(
    recipe: LabelRecipe, expected: dict[str, str], store: Any, s3_bucket: str, fault: str
) -> None:
    """Written so far are the card and one unit; what fails then is the shard of the second."""
    out = f"{s3_bucket}/out"

    class Failing(Store):
        def write(self, name: str, content: bytes, *, lasting: bool = True) -> None:
            super().write(name, content, lasting=lasting)
            if name == manifest_name(0):
                store.misbehave(fault)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.label.Store", Failing)
        with pytest.raises(
            RuntimeError, match=r"s3://bucket/out/\S+ cannot be (written|read|looked for) .* run the same command again"
        ):
            label_inline(recipe, out)
    store.misbehave(None)
    assert assert_nothing_is_half(out) == 1
    Store(out).delete(LOCK)  # its holder, this process, is still alive
    assert label_inline(recipe, out).new_units == UNITS - 1
    assert checksums(out) == expected
    assert verify(out, progress=False).problems == []


@pytest.mark.parametrize(
    ("name", "is_put", "committed"),
    [
        ("shards/000001.tar", False, 1),
        ("rejects/000001.parquet", False, 1),
        ("manifests/000001.json", False, 1),
        ("manifests/000001.json", True, 2),
    ],
)
def test_a_job_that_dies_at_any_object_ends_in_the_same_bytes(
    recipe: LabelRecipe, expected: dict[str, str], store: Any, s3_bucket: str, name: str, is_put: bool, committed: int
) -> None:
    out = f"{s3_bucket}/out"

    class DiesError(BaseException):
        """What no code of ours catches: the process is gone."""

    class Dying(Store):
        @contextmanager
        def _put(self, final: str) -> Iterator[BinaryIO]:
            dies = final.endswith(name)
            if dies and not is_put:
                raise DiesError
            with super()._put(final) as file:
                yield file
            if dies:
                raise DiesError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.label.Store", Dying)
        with pytest.raises(DiesError):
            label_inline(recipe, out)
    assert assert_nothing_is_half(out) == committed
    assert label_inline(recipe, out).new_units == UNITS - committed
    assert checksums(out) == expected
    assert verify(out, progress=False).problems == []


def test_a_second_job_on_one_prefix_is_refused_and_leaves_all_as_it_was(
    recipe: LabelRecipe, store: Any, s3_bucket: str
) -> None:
    out = f"{s3_bucket}/out"
    with Store(out).locked(), pytest.raises(ValueError, match="s3://bucket/out is being written by another job"):
        label_inline(recipe, out)
    assert Store(out).names("") == []


def test_verify_sees_what_is_damaged_on_a_store(recipe: LabelRecipe, store: Any, s3_bucket: str) -> None:
    out = f"{s3_bucket}/out"
    label_inline(recipe, out)
    shard = Store(out)
    content = bytearray(shard.read("shards/000001.tar"))
    content[700] ^= 1
    shard.write("shards/000001.tar", bytes(content))
    shard.delete("rejects/000002.parquet")
    assert verify(out, progress=False).problems == [
        "unit 1: shards/000001.tar is not what was committed: its checksum differs",
        "unit 2: rejects/000002.parquet is missing",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_fails_now_and_then_ends_in_the_same_bytes(
    recipe: LabelRecipe, expected: dict[str, str], store: Any, s3_bucket: str, fault: str
) -> None:
    out = f"{s3_bucket}/out"
    store.misbehave(fault, every=3)
    label_inline(recipe, out)
    assert store.counts["faults"] > 20
    assert checksums(out) == expected
    assert verify(out, progress=False).problems == []
    assert assert_nothing_is_half(out) == UNITS
    assert not Store(out).exists(LOCK)
