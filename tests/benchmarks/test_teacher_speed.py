"""The speed benchmark: sides that work are measured, whatever becomes of another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import teacher_speed

SMALLEST = [
    *("--size", "nano", "--image", "64x64", "--batch", "2", "--tokens", "8", "--threads", "1"),
    *("--repeats", "1", "--warmup", "0", "--stream", "0.1", "--peak-tflops", "1"),
]


def test_a_side_that_cannot_be_built_costs_no_other_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def another_version(size: str) -> None:
        raise ImportError(f"no Grounding DINO of {size} in this version")

    monkeypatch.setattr("speed_sides.GroundingDino", another_version)
    file, sides = tmp_path / "speed.json", ["ours", "bf16", "reference", "grounding-dino", "grounding-dino-bf16"]
    monkeypatch.setattr("sys.argv", ["teacher_speed.py", *SMALLEST, "--json", str(file), "--sides", *sides])
    assert teacher_speed.main() == 0
    (run,) = json.loads(file.read_text())["runs"]
    assert list(run["sides"]) == sides[:3]
    assert run["failed"] == {"grounding-dino": "ImportError: no Grounding DINO of nano in this version"}
    # The same weights, pictures and captions: what the two orders of products find is the same.
    assert run["sides"]["reference"]["boxes"] == run["sides"]["ours"]["boxes"] > 0
    assert run["sides"]["reference"]["boxes_found_again"] == 1.0
    assert "Left out, grounding-dino" in capsys.readouterr().out
