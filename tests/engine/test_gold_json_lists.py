"""A list of a JSON file is read item by item as the whole file would be, wherever its chunks are cut."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.gold import json_lists as gold_json_lists
from engine.gold.json_lists import JsonLists, RowsByKey

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    document=st.dictionaries(st.text(st.characters(codec="ascii")), VALUES | st.lists(VALUES), max_size=4),
    ascii=st.booleans(),
    indent=st.sampled_from([None, 1]),
    chunk=st.integers(1, 9),
)
def test_every_list_is_as_the_standard_library_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, document: Any, ascii: bool, indent: int | None, chunk: int
) -> None:
    monkeypatch.setattr(gold_json_lists, "CHUNK_BYTES", chunk)
    text = json.dumps(document, ensure_ascii=ascii, indent=indent)
    (tmp_path / "x.json").write_bytes(b"\xef\xbb\xbf" * (chunk > 5) + text.encode(errors="surrogatepass") + b" \n")
    if "\ud800" <= max(text) <= "\udfff":
        return  # no UTF-8: nothing is promised of it
    found = JsonLists(tmp_path / "x.json").lists
    expected = json.loads(text)
    assert {name: list(items) for name, items in found.items()} == {
        name: value for name, value in expected.items() if isinstance(value, list)
    }


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"a"',
        b'{"a": [1',
        b'{"a": [1,]}',
        b'{"a": [1 2]}',
        b"{} {}",
        b'{"a": [], "a": []}',
        b'{"a": tru}',
        b"[" * 99_999,
    ],
)
@pytest.mark.parametrize("chunk", [1, 1 << 22])
def test_what_is_no_json_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, chunk: int
) -> None:
    if len(content) > 1000 and chunk == 1:
        return
    monkeypatch.setattr(gold_json_lists, "CHUNK_BYTES", chunk)
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ValueError, match="is not JSON") as error:
        JsonLists(tmp_path / "x.json")
    assert "\n" not in str(error.value)


def test_nan_is_a_number_here(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a": [[NaN, Infinity], 1]}')
    first, second = JsonLists(tmp_path / "x.json").lists["a"]
    assert first[0] != first[0]
    assert second == 1


def test_rows_are_found_by_their_key(tmp_path: Path) -> None:
    items = [{"k": 7}, {"k": "ü"}, {"k": 7}, {}, "x", {"k": [1]}, {"k": 8}]
    for ascii in (True, False):
        (tmp_path / "x.json").write_text(json.dumps({"a": items}, ensure_ascii=ascii), encoding="utf-8")
        rows = RowsByKey("k")
        JsonLists(tmp_path / "x.json", lambda name, row, item, rows=rows: rows.add(item))  # type: ignore[misc]
        assert [rows.rows(key) for key in (7, "ü", 8, 9, None)] == [[0, 2], [1], [6], [], [3, 4, 5]]
        assert rows.others({7, 8}) == [1, 3, 4, 5]
    assert RowsByKey("k").rows(1) == RowsByKey("k").others({1}) == []


def test_memory_does_not_grow_with_what_the_items_hold(tmp_path: Path) -> None:
    """7 MB of polygons, of which a few bytes an item stay."""
    item = json.dumps({"image_id": 1, "segmentation": [[1.25] * 300]})
    (tmp_path / "x.json").write_text('{"annotations": [' + ", ".join([item] * 4_000) + "]}")
    rows = RowsByKey("image_id")
    tracemalloc.start()
    try:
        lists = JsonLists(tmp_path / "x.json", lambda name, row, item: rows.add(item))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / "x.json").stat().st_size > 7_000_000
    assert len(lists.lists["annotations"]) == len(rows.rows(1)) == 4_000
    assert kept < 500_000
