"""The labelling job with teachers that are no GLIP: 20 real photos through the command line."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from engine.artifacts import Store
from engine.shards import read_shard
from pipelines.cli import main
from pipelines.verify import verify

PHOTOS = 20


def some_photos(data_folder: Path, folder: Path) -> Path:
    """A tar of the first photos of the web, as img2dataset wrote them."""
    folder.mkdir()
    with tarfile.open(data_folder / "photos" / "web" / "00000.tar") as tar, tarfile.open(folder / "0.tar", "w") as few:
        keys = sorted({member.name.partition(".")[0] for member in tar.getmembers()})[:PHOTOS]
        for member in tar.getmembers():
            if member.name.partition(".")[0] in keys:
                few.addfile(member, tar.extractfile(member))
    return folder


@pytest.mark.data
@pytest.mark.parametrize("kind", ["grounding-dino", "mm-grounding-dino", "owlv2"])
def test_photos_are_labelled_through_the_command_line(
    kind: str, hub_folders: dict[str, Path], data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = some_photos(data_folder, tmp_path / "web"), tmp_path / "out"
    teacher = {"grounder": kind, "checkpoint": hub_folders[kind], "device": "cpu"}
    overrides = [part for name, value in teacher.items() for part in ("--set", f"teacher.{name}={value}")]
    assert main(["label", str(source), "--out", str(out), "--inline", "--json", *overrides]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["images"] == PHOTOS
    assert result["samples"] + sum(result["rejects"].values()) == PHOTOS
    assert result["samples"] > PHOTOS / 2
    assert result["boxes"] > 0
    assert verify(out, progress=False).problems == []
    labels = [one.labels for one in read_shard(Store(out), 0)]
    assert len({one.teacher_digest for one in labels}) == 1
    assert all(one.boxes for one in labels)
