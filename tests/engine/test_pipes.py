"""A pipe among the files of a source is told of, and never waited for: a reader would wait until somebody writes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pictures import saved
from PIL import Image

from engine.sources import open_source
from schemas.recipes import FolderSource, WebDatasetSource

MakePipe = Callable[[str], Path]


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[MakePipe]:
    """``pipe(name)`` makes one; whoever reads it after all gets nothing after ten seconds, so that no test hangs."""
    ends: list[tuple[threading.Timer, int]] = []

    def make(name: str) -> Path:
        os.mkfifo(tmp_path / name)
        held = os.open(tmp_path / name, os.O_RDWR)
        ends.append((threading.Timer(10, os.close, [held]), held))
        ends[-1][0].start()
        return tmp_path / name

    yield make
    for timer, held in ends:
        if not timer.finished.is_set():
            timer.cancel()
            os.close(held)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_bytes(saved(Image.new("RGB", (9, 9)), "JPEG"))
    (tmp_path / "a.txt").write_text("a dog")
    return tmp_path


def reasons(recipe: FolderSource) -> list[str]:
    source = open_source(recipe)
    return [getattr(one, "reason", "ok") for ref in source.units(9) for one in source.read(ref)]


@pytest.mark.parametrize("name", ["c.jpg", "c.tar"])
def test_one_among_the_files_of_a_source_is_an_error_that_names_it(photos: Path, pipe: MakePipe, name: str) -> None:
    path = pipe(name)
    recipe = FolderSource(uri=str(photos)) if name == "c.jpg" else WebDatasetSource(uri=str(photos))
    with pytest.raises(ValueError, match=rf"{path} is a pipe or a device"):
        open_source(recipe).units(9)


def test_one_in_place_of_a_caption_is_none(photos: Path, pipe: MakePipe) -> None:
    pipe("b.txt")
    assert reasons(FolderSource(uri=str(photos))) == ["ok", "caption_missing"]


def test_one_that_a_table_names_is_a_reject(photos: Path, pipe: MakePipe) -> None:
    pipe("c.jpg")
    (photos / "table.csv").write_text("file_name,caption\na.jpg,a dog\nc.jpg,a cat\n")
    recipe = FolderSource(uri=str(photos), captions=str(photos / "table.csv"))
    assert reasons(recipe) == ["ok", "path_unsafe"]
