"""The benchmark against other tools: every side does the same work, and what is killed is gone."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import peers
import pytest
from job_processes import alive
from peer_job import Labeller, tar_samples
from peer_runs import run_job
from peer_sides import Side, read_dataset, read_rows
from web_tars import samples_of, write_tar

from pipelines.label import label
from schemas.recipes import LabelRecipe, ScenesSource, TeacherRecipe, WebDatasetSource


def test_a_job_of_another_tool_has_the_labels_and_the_rejects_of_the_labelling_job(tmp_path: Path) -> None:
    drawn = samples_of(ScenesSource(count=4))
    broken = replace(drawn[1], image=drawn[1].image[:200])
    (tmp_path / "tars").mkdir()
    write_tar(tmp_path / "tars" / "00000.tar", [drawn[0], broken, *drawn[2:]])
    recipe = LabelRecipe(
        source=WebDatasetSource(uri=str(tmp_path / "tars")), teacher=TeacherRecipe(device="cpu", batch_size=2)
    )
    label(recipe, tmp_path / "out", backend="inline", progress=False)
    keys, images, captions = zip(*tar_samples(tmp_path / "tars" / "00000.tar"), strict=True)
    rows = Labeller(batch_size=2)(keys, images, captions)
    found = read_dataset(tmp_path / "out")
    assert {row["key"]: row["labels"] for row in rows if row["labels"]} == found.labels()
    assert {row["key"]: row["error"] for row in rows if row["error"]} == {broken.key: "image_unreadable"}
    assert {one.key: one.error for one in found.samples if one.error} == {broken.key: "image_unreadable"}


def test_a_file_of_rows_that_is_not_whole_is_counted_and_not_read(tmp_path: Path) -> None:
    (tmp_path / "half.parquet").write_bytes(b"PAR1 and then nothing")
    assert read_rows(tmp_path).unreadable == 1
    assert not read_rows(tmp_path).samples


def test_a_job_that_is_killed_is_gone_with_all_that_it_started() -> None:
    at = time.monotonic() + 1
    child = "import time; time.sleep(600)"
    parent = (
        f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {child!r}]).pid, flush=True); {child}"
    )
    run = run_job([sys.executable, "-c", parent], kill_when=lambda: time.monotonic() > at)
    assert run.status is None
    assert not alive(int(run.printed))


def test_a_job_that_ends_by_itself_says_how_and_what_it_took() -> None:
    work = "import time; held = b'x' * 80_000_000; sum(range(10_000_000)); time.sleep(3); raise SystemExit(3)"
    run = run_job([sys.executable, "-c", work])
    assert run.status == 3
    assert run.peak_mib > 76
    assert run.processor_seconds > 0


def test_a_job_that_ends_before_it_is_killed_gives_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tars").mkdir()
    write_tar(tmp_path / "tars" / "00000.tar", samples_of(ScenesSource(count=2)))
    side = Side("in no time", ("-c", "import sys, pathlib; pathlib.Path(sys.argv[3]).mkdir(exist_ok=True)"), read_rows)
    monkeypatch.setattr(peers, "SIDES", (side,))
    options = argparse.Namespace(source=str(tmp_path / "tars"), few=1, many=2, size=None, python=sys.executable)
    with pytest.raises(SystemExit, match="in no time ended before it could be killed"):
        peers.Bench(tmp_path / "work", options).killed([side])
