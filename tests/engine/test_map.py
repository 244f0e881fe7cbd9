"""The map of the room, in the docstring of its package, is true."""

from __future__ import annotations

import re
from pathlib import Path

import engine


def test_every_file_and_folder_of_the_room_stands_in_its_map() -> None:
    room = Path(str(engine.__file__)).parent
    there = {one.stem for one in room.glob("[a-z]*.py")} | {one.parent.name for one in room.glob("*/__init__.py")}
    named = set(re.findall(r"[a-z_]+", str(engine.__doc__)))
    assert there <= named, sorted(there - named)
