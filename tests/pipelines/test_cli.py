"""Exit statuses and messages: what a user sees who makes a mistake."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from PIL import Image

from engine.running.unit_worker import Failure
from pipelines.cli import main
from schemas.reports import Document

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
    assert "--recipe" in capsys.readouterr().err


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
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def noisy() -> list[object]:
        print("(raylet) A worker died")
        return []

    monkeypatch.setattr("pipelines.doctor.examine", noisy)
    assert main(["doctor", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == []
    assert "A worker died" in captured.err


def test_an_interrupted_command_says_that_it_goes_on_only_where_it_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.label.label", interrupted)
    monkeypatch.setattr("pipelines.verify.verify", interrupted)
    assert main(["label", "scenes", "--out", "x"]) == 130
    assert "run the same command again to resume" in capsys.readouterr().err
    assert main(["verify", "x"]) == 130
    assert capsys.readouterr().err == "glip-engine: error: interrupted\n"


def test_an_error_of_the_operating_system_is_told_by_file_and_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert main(["import", "coco", str(file / "inside"), "--out", str(tmp_path / "out")]) == 2
    assert "Errno" not in capsys.readouterr().err
    annotations = tmp_path / "instances.json"
    annotations.write_text('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}')
    assert main(["import", "coco", str(annotations), "--out", str(file / "inside")]) == 2
    assert capsys.readouterr().err.endswith("file/inside: not a directory\n")
    assert main(["import", "coco", str(annotations), "--out", str(file)]) == 2
    assert capsys.readouterr().err.endswith("file is there already and is no folder; give another one to write\n")


def test_an_import_tells_why_it_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "one.jpg")
    boxes = [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 9, 9], "iscrowd": crowd} for crowd in (0, 1)]
    image = {"id": 1, "file_name": "one.jpg", "width": 40, "height": 30}
    document = {"images": [image], "annotations": boxes, "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "instances.json").write_text(json.dumps(document))
    assert main(["import", "coco", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.endswith("1 sample, 1 phrase, 1 box, 1 reject (1 crowd)\n")


def test_sigterm_ends_a_command_as_ctrl_c_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped() -> list[object]:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        return []

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("pipelines.doctor.examine", stopped)
    assert main(["doctor"]) == 130
    assert capsys.readouterr().err == "glip-engine: error: interrupted\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_figure_that_is_no_number_is_null_in_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Found(Document):
        ok: bool = True
        share: float = float("nan")

    monkeypatch.setattr("pipelines.doctor.examine", lambda: [Found()])
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"ok": True, "share": None}]


def test_what_a_worker_met_is_told_without_the_traceback_of_its_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise met.error()

    try:
        raise ValueError("the checkpoint is not there")
    except ValueError as error:
        met = Failure.of(error)
    monkeypatch.setattr("pipelines.verify.verify", refused)
    assert main(["verify", "somewhere"]) == 2
    assert capsys.readouterr().err == "glip-engine: error: the checkpoint is not there\n"
    with pytest.raises(ValueError, match="the checkpoint") as shown:
        refused()
    assert "Traceback" in str(shown.value.__cause__)
