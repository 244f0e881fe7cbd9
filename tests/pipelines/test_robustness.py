"""Wrong and blank captions: what nano answers to them, counted, from one command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from coco_folders import coco_dataset

from engine.artifacts import Store
from engine.gold import import_gold
from engine.shards import read_labels
from pipelines.cli import main
from pipelines.robustness import Robustness, print_robustness, robustness
from schemas.recipes import ScenesSource
from schemas.robustness_recipes import RobustnessRecipe


def test_nano_answers_its_own_captions_more_than_wrong_ones_and_blank_ones_least(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import_gold("scenes", ScenesSource(count=10, seed=5), tmp_path / "scenes")
    arguments = ["robustness", "nano", "--on", str(tmp_path / "scenes")]
    assert main([*arguments, "--json"]) == 0
    found = Robustness.model_validate(json.loads(capsys.readouterr().out))
    assert 0 < found.pictures <= 10
    assert found.own > found.wrong
    assert found.own > found.blank
    assert main([*arguments, "--sha256", "0" * 64]) == 2
    assert "sha256 is" in capsys.readouterr().err
    assert main([*arguments, "--limit", "4", "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "phrases.parquet").is_file()
    assert "scores from 0.5" in capsys.readouterr().out


def test_any_teacher_can_be_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import_gold("scenes", ScenesSource(count=4, seed=5), tmp_path / "scenes")
    members = "teacher.members=[{checkpoint: nano}, {checkpoint: nano, min_size: 64, max_size: 96}]"
    asked = ["robustness", "--on", str(tmp_path / "scenes"), "--json"]
    found = []
    for options in ([], ["--set", "teacher.grounder=ensemble", "--set", members]):
        assert main([*asked, *options]) == 0
        found.append(Robustness.model_validate(json.loads(capsys.readouterr().out)))
    nano, ensemble = found
    assert nano.own > ensemble.own, "boxes that one of the two found alone have half their score"
    assert main([*asked, "--set", "teacher.grounder=none"]) == 2
    assert "grounding-dino" in json.loads(capsys.readouterr().out)["error"]


def test_figures_are_the_means_of_the_table_beside_them(tmp_path: Path) -> None:
    import_gold("scenes", ScenesSource(count=8, seed=5), tmp_path / "scenes")
    out = tmp_path / "out"
    found = robustness(RobustnessRecipe(min_score=0.2), tmp_path / "scenes", out, progress=False)
    assert Robustness.model_validate_json((out / "robustness.json").read_bytes()) == found
    rows = pq.read_table(out / "phrases.parquet").to_pylist()
    for captions in ("own", "wrong", "blank"):
        of_kind = [row for row in rows if row["captions"] == captions]
        assert sum(row["boxes"] for row in of_kind) / len(of_kind) == getattr(found, captions)
        assert len({row["key"] for row in of_kind}) == found.pictures
    captions_of = {one.key: [phrase.text for phrase in one.phrases] for one in read_labels(Store(tmp_path / "scenes"))}
    assert {row["phrase"] for row in rows if row["captions"] == "blank"} == {"."}
    for row in rows:
        assert row["boxes"] == len(row["scores"]) == len(row["boxes_xyxy"])
        assert row["scores"] == sorted(row["scores"], reverse=True)
        assert all(score >= np.float32(0.2) for score in row["scores"])
        assert (row["phrase"] in captions_of[row["key"]]) == (row["captions"] == "own")
    assert robustness(RobustnessRecipe(min_score=0.2), tmp_path / "scenes", progress=False) == found


def test_a_run_that_ends_early_leaves_no_figures_of_other_work(tmp_path: Path) -> None:
    import_gold("scenes", ScenesSource(count=4, seed=5), tmp_path / "scenes")
    out = tmp_path / "out"
    robustness(RobustnessRecipe(), tmp_path / "scenes", out, progress=False)
    (out / "phrases.parquet").unlink()
    (out / "phrases.parquet" / "in the way").mkdir(parents=True)
    with pytest.raises((OSError, RuntimeError, ValueError)):
        robustness(RobustnessRecipe(limit=3), tmp_path / "scenes", out, progress=False)
    assert not (out / "robustness.json").exists()


def test_shares_are_of_the_boxes_under_the_own_caption(capsys: pytest.CaptureFixture[str]) -> None:
    found = Robustness(
        model_digest="m",
        dataset="photos",
        dataset_fingerprint="d",
        pictures=4,
        min_score=0.5,
        own=2.0,
        wrong=0.5,
        blank=0.0,
    )
    print_robustness(found)
    printed = [line.split("\u2502") for line in capsys.readouterr().out.splitlines()]
    assert [[cell.strip() for cell in line[1:4]] for line in printed if len(line) == 5] == [
        ["own", "2.00", "100%"],
        ["another picture's", "0.50", "25%"],
        ["blank", "0.00", "0%"],
    ]
    assert found.model_copy(update={"own": 0.0}).share(0.5) is None


def test_only_human_captions_can_be_exchanged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = coco_dataset(tmp_path / "pets", [["cat"], ["dog"]])
    assert main(["robustness", "nano", "--on", str(dataset)]) == 2
    assert "of task detection" in capsys.readouterr().err
    import_gold("scenes", ScenesSource(count=1, seed=5), tmp_path / "one")
    assert main(["robustness", "nano", "--on", str(tmp_path / "one")]) == 2
    assert "no two pictures" in capsys.readouterr().err
