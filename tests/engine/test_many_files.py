"""Small files of an export are written at the same time, and none is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.artifacts import Store
from engine.exporters.many_files import WRITES_AT_ONCE, many_files

COUNT = 5 * WRITES_AT_ONCE


def test_all_files_are_there_at_the_end_whatever_was_written_first(tmp_path: Path) -> None:
    with many_files(Store(tmp_path)) as write:
        for number in range(COUNT):
            write(f"images/{number}.jpg", str(number).encode())
    found = {file.name: file.read_text() for file in (tmp_path / "images").iterdir()}
    assert found == {f"{number}.jpg": str(number) for number in range(COUNT)}


@pytest.mark.parametrize("place", [0, COUNT - 1])
def test_a_file_that_cannot_be_written_ends_the_export(tmp_path: Path, place: int) -> None:
    (tmp_path / "taken").touch()  # a file where a folder would have to be
    with pytest.raises(FileExistsError):
        _write_all(Store(tmp_path), ["taken/0.jpg" if number == place else f"{number}.jpg" for number in range(COUNT)])


def _write_all(store: Store, names: list[str]) -> None:
    with many_files(store) as write:
        for name in names:
            write(name, b"")
