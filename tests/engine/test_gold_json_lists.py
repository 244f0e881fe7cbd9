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
from engine.gold.json_lists import JsonLists

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    document=st.lists(VALUES)
    | st.dictionaries(st.text(st.characters(codec="ascii")), VALUES | st.lists(VALUES), max_size=4),
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
    named = expected if isinstance(expected, dict) else {None: expected}
    assert {name: list(items) for name, items in found.items()} == {
        name: value for name, value in named.items() if isinstance(value, list)
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


def test_items_are_found_by_their_key(tmp_path: Path) -> None:
    large = 10**30
    items = [{"k": 7}, {"k": "ü"}, {"k": 7.0}, {}, "x", {"k": [1]}, {"k": "7"}, {"k": large}]
    for ascii in (True, False):
        text = json.dumps({"other": [{"k": 7}], "a": items}, ensure_ascii=ascii)
        (tmp_path / "x.json").write_text(text, encoding="utf-8")
        found = JsonLists(tmp_path / "x.json", {"a": "k"}).lists
        assert list(found["a"].of(7)) == [{"k": 7}, {"k": 7.0}]
        assert [list(found["a"].of(key)) for key in ("ü", "7", large, 8)] == [[items[1]], [items[6]], [items[7]], []]
        assert list(found["other"].of(7)) == []


def test_items_of_no_known_key_are_found_in_order(tmp_path: Path) -> None:
    items = [{"k": 9}, {"k": 7}, {}, "x", {"k": "7"}, {"k": 9}]
    (tmp_path / "x.json").write_text(json.dumps({"b": [{"k": 11}], "a": items, "c": [{"k": 12}]}))
    found = JsonLists(tmp_path / "x.json", {"a": "k", "b": "k", "c": "k"}).lists["a"]
    found.database.fill("known", "id", [(7,), (None,)])
    assert list(found.without("known", "id")) == [items[0], *items[2:]]


def test_memory_does_not_grow_with_the_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening and reading all of 10 times the items takes as much memory."""
    monkeypatch.setattr(gold_json_lists, "CHUNK_BYTES", 1 << 16)
    peaks = []
    for count in (5_000, 50_000):
        items = ({"id": number, "image_id": number % 999, "text": "x" * 50} for number in range(count))
        (tmp_path / "x.json").write_text(f'{{"annotations": [{", ".join(map(json.dumps, items))}]}}')
        tracemalloc.start()
        try:
            found = JsonLists(tmp_path / "x.json", {"annotations": "image_id"}).lists["annotations"]
            assert (len(found), sum(1 for _ in found)) == (count, count)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.1
