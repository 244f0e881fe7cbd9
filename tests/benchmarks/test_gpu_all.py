"""The steps of a GPU's visit: what was printed is kept, and no step costs another its turn."""

from __future__ import annotations

from pathlib import Path

import pytest
from gpu_all import GPU_TESTS, ROOT, Step, run_all

WAITING = "import time; print('first figures', flush=True); time.sleep(60)"


def test_a_step_that_hangs_or_fails_costs_no_other_step(tmp_path: Path) -> None:
    report = tmp_path / "report.txt"
    steps = [
        Step("hangs", 3.0, ["-I", "-S", "-c", WAITING]),
        Step("fails", 30.0, ["-c", "raise SystemExit(3)"]),
        Step("works", 30.0, ["-c", "print('last figures')"]),
    ]
    assert run_all(steps, report, minutes=5) == ["stopped after 3 s", "failed with status 3", "done"]
    text = report.read_text()
    assert text.index("first figures") < text.index("## fails") < text.index("last figures")


def test_no_step_begins_when_the_time_is_over(tmp_path: Path) -> None:
    step = Step("late", 30.0, ["-c", "print('figures')"])
    assert run_all([step], tmp_path / "report.txt", minutes=0) == ["not begun: no time is left"]


def test_what_a_step_prints_is_on_the_screen_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = ["… of which", "… of which", "last figures"]
    steps = [Step(f"{number}", 30.0, ["-c", f"print({text!r})"]) for number, text in enumerate(said)]
    run_all(steps, tmp_path / "report.txt", minutes=5)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line and not line.startswith("## ")] == said


def test_every_file_with_tests_for_a_gpu_is_run() -> None:
    marked = [file for file in (ROOT / "tests").rglob("test_*.py") if "pytest.mark.gpu" in file.read_text("utf-8")]
    assert {str(file.relative_to(ROOT)) for file in marked if file != Path(__file__)} == set(GPU_TESTS)
