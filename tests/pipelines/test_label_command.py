"""``glip-engine label`` on the command line: its result is printed, and a mistake is told in one line."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from labelled_datasets import tars_recipe, tars_with_rejects

from pipelines.cli import main
from schemas.recipes import LabelRecipe


@pytest.fixture
def source(web: Any, tmp_path: Path) -> Path:
    return tars_with_rejects(web, tmp_path / "web")


@pytest.fixture
def recipe(source: Path, random_checkpoint: Path) -> LabelRecipe:
    return tars_recipe(source, random_checkpoint, unit_size=4)


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_command_labels_verifies_and_prints_its_result(
    recipe: LabelRecipe, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, model = str(tmp_path / "out"), f"teacher.checkpoint={recipe.teacher.checkpoint}"
    status, text, _ = command(capsys, "label", str(source), "--out", out, "--inline", "--json", "--set", model)
    assert (status, json.loads(text)["samples"]) == (0, 7)
    status, text, _ = command(capsys, "verify", out)
    assert status == 0
    assert "7 samples, 5 rejects: clean" in text
    (tmp_path / "out/shards/000000.tar").write_bytes(b"")
    status, text, _ = command(capsys, "verify", out)
    assert status == 1
    assert "unit 0: shards/000000.tar is not what was committed" in text


def test_what_to_do_next_can_be_pasted_whatever_the_folder_is_called(
    recipe: LabelRecipe, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, model = f"{tmp_path}/my $et/", f"teacher.checkpoint={recipe.teacher.checkpoint}"
    status, text, _ = command(capsys, "label", str(source), "--out", out, "--inline", "--set", model)
    assert status == 0
    line = text.strip().splitlines()[-1].removeprefix("next: ")
    assert shlex.split(line) == ["glip-engine", "report", out, "--out", f"{out.rstrip('/')}-report"]


MISTAKES: dict[str, tuple[list[str], str]] = {
    "no source": (["label", "nowhere", "--out", "OUT"], "nothing is there"),
    "no checkpoint": (["label", "SRC", "--out", "OUT", "--set", "teacher.checkpoint=gone.pth"], "no such model"),
    "unknown field": (["label", "SRC", "--out", "OUT", "--set", "min_scor=0.1"], "unknown field 'min_scor'"),
    "bad value": (["label", "SRC", "--out", "OUT", "--set", "min_score=7"], "field 'min_score'"),
    "unknown grounder": (["label", "SRC", "--out", "OUT", "--set", "teacher.grounder=x"], "no grounder 'x'"),
    "unknown selection": (["label", "SRC", "--out", "OUT", "--set", "selection=x"], "no selection 'x'"),
    "unknown pipeline": (["label", "SRC", "--out", "OUT", "--set", "phrases.pipeline=x"], "cannot open 'x'"),
    "no recipe file": (["label", "SRC", "--out", "OUT", "--recipe", "gone.yaml"], "does not exist"),
    "not a dataset": (["verify", "SRC"], "is not a dataset"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_with_status_2_and_one_line_and_no_folder(
    mistake: str, source: Path, random_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, expected = MISTAKES[mistake]
    places = {"SRC": str(source), "OUT": str(tmp_path / "out")}
    filled = [places.get(argument, argument) for argument in arguments]
    if "label" in filled:
        filled += ["--inline", "--set", f"teacher.checkpoint={random_checkpoint}"] if mistake != "no checkpoint" else []
    status, _, err = command(capsys, *filled)
    assert status == 2
    assert expected in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()
