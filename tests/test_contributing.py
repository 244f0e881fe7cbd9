"""The guide to adding things is true: what it names is where it says, and what has to be named twice is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from engine.sources import SOURCES
from schemas import recipes, source_recipes

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROWS = [row for row in re.findall(r"^\| (.+) \|$", GUIDE, flags=re.MULTILINE) if not row.startswith(("what", "---"))]
TO_BE_WRITTEN = re.compile(r"/x\.py$")


def test_each_row_of_the_guide_names_files_and_what_stands_in_them() -> None:
    assert len(ROWS) > 10
    for row in ROWS:
        words = re.findall(r"`([\w./]+)`", row)
        paths = [word for word in words if "/" in word and not TO_BE_WRITTEN.search(word)]
        names = [word for word in words if "/" not in word]
        assert paths, row
        assert names, row
        assert all((ROOT / path).exists() for path in paths), (row, paths)
        code = "".join((ROOT / path).read_text(encoding="utf-8") for path in paths if path.endswith(".py"))
        folders = [file for path in paths if path.endswith("/") for file in (ROOT / path).glob("*.py")]
        code += "".join(file.read_text(encoding="utf-8") for file in folders)
        for name in names:
            defined = rf"^(class {name}\b|def {name}\b|{name}\b.*=)|^    {name}: "
            assert re.search(defined, code, flags=re.MULTILINE), (row, name)


def test_each_source_has_a_recipe_that_python_users_and_the_table_of_sources_know() -> None:
    members = get_args(get_args(source_recipes.Source)[0])
    assert {member.model_fields["kind"].default for member in members} == SOURCES.keys()
    assert {member.__name__ for member in members} <= set(recipes.__all__)
