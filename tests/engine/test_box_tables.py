"""The boxes of a dataset as a view: what a selection keeps of the tables is what it keeps of the shards."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from report_datasets import crowded, write_dataset

from engine.artifacts import Store
from engine.box_tables import add_boxes, box_database
from engine.selection import PRESETS, resolve_selection, select
from engine.shards import annotations_name, committed_units, read_shard
from engine.statistics.tables import StatisticsTables
from schemas.recipes import SelectionChoice


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(write_dataset(tmp_path_factory.mktemp("boxes") / "dogs", crowded(60, seed=7), units=20))


def view_of(store: Store, selection: SelectionChoice) -> set[Any]:
    with box_database() as (connection, folder):
        add_boxes(connection, folder, "boxes", store, committed_units(store), resolve_selection(selection))
        rows = connection.execute(
            'SELECT key, phrase_text, start, "end", head_lemma, x1, y1, x2, y2, round(score::DOUBLE, 4) FROM boxes'
        ).fetchall()
    assert len(set(rows)) == len(rows)
    return set(rows)


@pytest.mark.parametrize("selection", [*PRESETS, {"max_boxes_per_phrase": 1}, {"min_score": 0.999}], ids=str)
def test_a_selection_keeps_of_the_tables_what_it_keeps_of_the_shards(store: Store, selection: SelectionChoice) -> None:
    kept = (select(one.labels, selection) for unit in committed_units(store) for one in read_shard(store, unit))
    expected = {
        (labels.key, phrase.text, phrase.start, phrase.end, phrase.head_lemma, *box.box_xyxy, box.score)
        for labels in kept
        for box in labels.boxes
        for phrase in [labels.phrases[box.phrase]]
    }
    assert view_of(store, selection) == expected


def test_a_table_that_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    store = Store(write_dataset(tmp_path, crowded(4, seed=7), units=2))
    (tmp_path / annotations_name(1)).write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"annotations/000001\.parquet: .*verify"):
        view_of(store, "glip")
    with pytest.raises(ValueError, match="labelled by one teacher"):
        view_of(Store(write_dataset(tmp_path / "other", crowded(4, seed=7))), {"min_agreement": 0.5})


def test_the_temporary_folder_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "o'brien's"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with box_database(on_disk=True) as (connection, _):
        StatisticsTables(connection).copy("SELECT 1 AS one", folder / "one.parquet")
    assert pq.read_table(folder / "one.parquet").to_pylist() == [{"one": 1}]


def test_no_bar_of_the_database_is_printed_where_somebody_types() -> None:
    code = """from engine.box_tables import box_database
with box_database() as (database, _): print(database.sql("SELECT current_setting('enable_progress_bar')").fetchall())
"""
    command = [sys.executable, "-i", "-c", code]
    done = subprocess.run(command, input="", capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[(False,)]"


def test_a_notebook_that_cannot_draw_a_bar_asks_the_database_too() -> None:
    """DuckDB knows a notebook by the program that is running, and by IPython's configuration."""
    code = """import sys, types
sys.modules["IPython"] = types.SimpleNamespace(get_ipython=lambda: types.SimpleNamespace(config={"IPKernelApp": {}}))
sys.modules["ipywidgets"] = None
from engine.box_tables import box_database
with box_database() as (database, _): print(database.sql("SELECT 1").fetchall())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[(1,)]"), done.stderr
