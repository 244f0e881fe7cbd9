"""The page for Python users does what it says: its blocks run in order, and its table names what there is."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

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
    assert len(blocks) == 6
    assert names["done"].samples > 0
    assert names["found"].phrases
    assert names["decision"].comparisons[0].images == 8
    assert repr(names["sample"].image) not in repr(names["sample"])
    assert "per_image" not in repr(names["student"])
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.splitlines()[0] == f"{names['done'].samples} labelled, {names['done'].rejects}"


def test_every_function_of_the_table_is_one_and_tells_what_it_does() -> None:
    rows = re.findall(r"^\| `.*\| (.*) \|$", PAGE, flags=re.MULTILINE)
    assert len(rows) > 10
    for row in rows:
        module = ""
        for name in re.findall(r"`([\w.]+)`", row):
            place, _, function = name.rpartition(".")
            module = place or module
            assert getattr(importlib.import_module(module), function).__doc__, name
