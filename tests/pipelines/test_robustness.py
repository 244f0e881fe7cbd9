"""Wrong and blank captions: what nano answers to them, counted, from one command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from coco_folders import coco_dataset

from engine.gold import import_gold
from pipelines.cli import main
from pipelines.robustness import Robustness, robustness_line
from schemas.recipes import ScenesSource


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
    assert main([*arguments, "--limit", "4"]) == 0
    assert "boxes a phrase at score 0.5: own caption" in capsys.readouterr().out


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


def test_shares_are_of_the_boxes_under_the_own_caption() -> None:
    found = Robustness(dataset="photos", pictures=4, min_score=0.5, own=2.0, wrong=0.5, blank=0.0)
    expected = "photos: boxes a phrase at score 0.5: own caption 2.00, another picture's 0.50 (25%), blank 0.00 (0%)"
    assert robustness_line(found) == f"{expected}; 4 pictures"
    assert found.model_copy(update={"own": 0.0}).share(0.5) is None


def test_only_human_captions_can_be_exchanged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = coco_dataset(tmp_path / "pets", [["cat"], ["dog"]])
    assert main(["robustness", "nano", "--on", str(dataset)]) == 2
    assert "of task detection" in capsys.readouterr().err
    import_gold("scenes", ScenesSource(count=1, seed=5), tmp_path / "one")
    assert main(["robustness", "nano", "--on", str(tmp_path / "one")]) == 2
    assert "no two pictures" in capsys.readouterr().err
