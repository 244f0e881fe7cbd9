"""verify: clean where a dataset is whole, and one line for each thing that is wrong with it."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.label import label
from pipelines.verify import verify
from schemas.recipes import LabelRecipe, TeacherRecipe, WebDatasetSource


@pytest.fixture(scope="module")
def whole(web: Any, tmp_path_factory: pytest.TempPathFactory, random_checkpoint: Path) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    web.tar_of(folder / "web/0.tar", [*web.samples(4), ("x.jpg", b"noise"), ("x.txt", b"a dog")])
    teacher = TeacherRecipe(checkpoint=str(random_checkpoint), device="cpu")
    recipe = LabelRecipe(source=WebDatasetSource(uri=str(folder / "web")), teacher=teacher, unit_size=2)
    label(recipe, folder / "out", backend="inline", progress=False)
    return folder / "out"


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def commit_again(out: Path, unit: int) -> None:
    """Make the manifest vouch for the files as they now are: what remains wrong is their content."""
    import hashlib

    manifest = out / f"manifests/{unit:06d}.json"
    files = json.loads(manifest.read_text())["files"]
    for file in files:
        content = (out / file["path"]).read_bytes()
        file.update(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    edit(manifest, files=files)


def change_tar(out: Path, change: Callable[[str, bytes], bytes]) -> None:
    import io

    shard = out / "shards/000000.tar"
    with tarfile.open(shard) as tar:
        members = [(member.name, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
    with tarfile.open(shard, "w") as tar:
        for name, content in members:
            changed = change(name, content)
            member = tarfile.TarInfo(name)
            member.size = len(changed)
            tar.addfile(member, io.BytesIO(changed))
    commit_again(out, 0)


def another_picture(out: Path) -> None:
    change_tar(out, lambda name, content: b"another" if name.endswith(".jpg") else content)


def shifted_span(out: Path) -> None:
    change_tar(out, lambda name, content: content.replace(b'"start":0', b'"start":1'))


def other_scores(out: Path) -> None:
    path = out / "annotations/000000.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(10, "score", [[0.9] * len(table)]).cast(table.schema), path)
    commit_again(out, 0)


def lost_reject(out: Path) -> None:
    path = out / "rejects/000002.parquet"
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    commit_again(out, 2)


def twin_unit(out: Path) -> None:
    for folder, kind in (("shards", "tar"), ("annotations", "parquet"), ("rejects", "parquet")):
        shutil.copy(out / folder / f"000000.{kind}", out / folder / f"000001.{kind}")
    manifest = json.loads((out / "manifests/000000.json").read_text())
    edit(out / "manifests/000001.json", first_key=manifest["first_key"], last_key=manifest["last_key"])
    edit(out / "manifests/000001.json", phrases=manifest["phrases"], boxes=manifest["boxes"])
    commit_again(out, 1)


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a lost manifest": (lambda out: (out / "manifests/000001.json").unlink(), "unit 1 is missing"),
    "half a manifest": (lambda out: (out / "manifests/000001.json").write_text("{"), "is not a whole manifest"),
    "a manifest of another unit": (lambda out: edit(out / "manifests/000001.json", unit=2), "not a whole manifest"),
    "a lost shard": (lambda out: (out / "shards/000001.tar").unlink(), "shards/000001.tar is missing"),
    "a changed shard": (lambda out: (out / "shards/000001.tar").write_bytes(b"x"), "its checksum differs"),
    "another picture": (another_picture, "the picture is not the one that was labelled"),
    "a shifted span": (shifted_span, "a sample breaks the format"),
    "a table of other scores": (other_scores, "annotations/000000.parquet does not say what the tar says"),
    "a lost reject": (lost_reject, "stage ground dropped 1 as image_unreadable, but rejects/000002.parquet has 0"),
    "a unit twice": (twin_unit, "is also in unit 0; keys are unique in a dataset"),
    "a lost row": (lambda out: edit(out / "manifests/000001.json", first_row=3), "begins at row 3 of 0.tar, not at 2"),
    "a wrong count": (lambda out: edit(out / "manifests/000001.json", samples=1), "the shard has 1"),
    "a wrong sum": (lambda out: edit(out / "dataset.json", boxes=1), "boxes is 1, the manifests add up to"),
    "an unfinished job": (lambda out: edit(out / "dataset.json", complete=False), "the job has not finished"),
    "a stray shard": (lambda out: (out / "shards/000009.tar").write_bytes(b""), "belongs to no committed unit"),
}


def test_a_whole_dataset_is_clean(whole: Path) -> None:
    report = verify(whole, progress=False)
    assert (report.units, report.samples, report.rejects, report.problems) == (3, 4, 1, [])


@pytest.mark.parametrize("damage", DAMAGE)
def test_whatever_is_wrong_is_told_in_one_line(whole: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(whole, tmp_path / "out")
    do, expected = DAMAGE[damage]
    do(tmp_path / "out")
    problems = verify(tmp_path / "out", progress=False).problems
    assert any(expected in problem for problem in problems), problems
    assert not any("\n" in problem for problem in problems)


def test_a_folder_that_is_no_dataset_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a dataset"):
        verify(tmp_path, progress=False)
