"""Exit statuses and messages: what a user sees who makes a mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.cli import main

MISTAKES = {
    "an unknown recipe field": (["label", "scenes", "--set", "teacher.chekpoint=x"], "unknown field"),
    "a missing checkpoint": (["label", "scenes", "--set", "teacher.checkpoint=/no/such"], "/no/such"),
    "a missing source": (["label", "/no/such/folder"], "/no/such/folder"),
    "a missing recipe file": (["label", "--recipe", "/no/recipe.yaml"], "does not exist"),
    "an override without a value": (["label", "scenes", "--set", "unit_size"], "FIELD=VALUE"),
    "a bad value": (["label", "scenes", "--set", "unit_size=0"], "unit_size"),
    "an unknown selection": (["label", "scenes", "--set", "selection=best"], "best"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_status_2(
    mistake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], random_checkpoint: Path
) -> None:
    arguments, expected = MISTAKES[mistake]
    if not any("checkpoint" in argument for argument in arguments):
        arguments = [*arguments, "--set", f"teacher.checkpoint={random_checkpoint}"]
    status = main([*arguments, "--out", str(tmp_path / "out"), "--inline"])
    error = capsys.readouterr().err
    assert status == 2
    assert error.count("\n") == 1
    assert error.startswith("glip-engine: error: ")
    assert expected in error
    assert "Traceback" not in error


def test_usage_errors_are_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["train"])
    assert stopped.value.code == 2
    assert "--out" in capsys.readouterr().err


def test_label_and_verify_speak_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], random_checkpoint: Path
) -> None:
    out = str(tmp_path / "out")
    settings = [f"teacher.checkpoint={random_checkpoint}", "source.count=3", "min_score=0.001"]
    arguments = [part for setting in settings for part in ("--set", setting)]
    assert main(["label", "scenes", "--out", out, "--inline", "--json", *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 3
    assert main(["verify", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["problems"] == []


def test_verify_of_a_damaged_dataset_is_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], random_checkpoint: Path
) -> None:
    out = tmp_path / "out"
    settings = [f"teacher.checkpoint={random_checkpoint}", "source.count=3", "min_score=0.001"]
    arguments = [part for setting in settings for part in ("--set", setting)]
    assert main(["label", "scenes", "--out", str(out), "--inline", "--json", *arguments]) == 0
    shard = out / "shards" / "000000.tar"
    content = bytearray(shard.read_bytes())
    content[700] ^= 1
    shard.write_bytes(bytes(content))
    assert main(["verify", str(out)]) == 1
    assert "000000.tar" in capsys.readouterr().out


def test_what_a_library_prints_never_stands_before_the_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def noisy() -> list[object]:
        print("(raylet) A worker died")
        return []

    monkeypatch.setattr("pipelines.doctor.examine", noisy)
    assert main(["doctor", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == []
    assert "A worker died" in captured.err
