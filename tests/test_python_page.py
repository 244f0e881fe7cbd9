"""The page for Python users does what it says: its blocks run in order, and its table names what there is."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from schemas import recipes

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")


def test_the_blocks_of_the_page_run_in_order_and_print_only_what_they_print(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert len(blocks) == 7
    assert names["done"].samples > 0
    assert names["found"].phrases
    assert [len(batch) for batch in names["batches"]] == [4, 4, 4]
    assert names["decision"].comparisons[0].images == 8
    assert repr(names["sample"].image) not in repr(names["sample"])
    assert "per_image" not in repr(names["student"])
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.splitlines()[0] == f"{names['done'].samples} labelled, {names['done'].rejects}"


def functions() -> Iterator[Any]:
    """The functions of the table."""
    rows = re.findall(r"^\| `.*\| (.*) \|$", PAGE, flags=re.MULTILINE)
    assert len(rows) > 10
    for row in rows:
        module = ""
        for name in re.findall(r"`([\w.]+)`", row):
            place, _, function = name.rpartition(".")
            module = place or module
            yield getattr(importlib.import_module(module), function)


def test_every_function_of_the_table_is_one_and_tells_what_it_does() -> None:
    assert [one for one in functions() if not one.__doc__] == []


def test_the_page_says_where_each_functions_recipe_is() -> None:
    wanted = {kind for one in functions() for name, kind in get_type_hints(one).items() if name == "recipe"}
    assert len(wanted) > 5
    for recipe in wanted:
        assert recipe.__name__ in recipes.__all__ or f"`{recipe.__module__}.{recipe.__name__}`" in PAGE, recipe
