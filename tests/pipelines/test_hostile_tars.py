"""Tars that were made to hurt: each gives its good sample, and for what is wrong one reject with its reason.

The tars (``hostile_tars``) have a good sample of their name where they can. They go through one job in a
process of bounded memory whose working folder must stay empty: nothing is ever extracted. JSON bombs stand beside tars
and in recipes. What single members are rejected for is in ``tests/engine/test_webdataset_source.py``.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from bounded_jobs import label_apart
from hostile_tars import file, tars

from engine.sources import open_source
from schemas.recipes import CocoSource, LabelRecipe, UrlsSource, WebDatasetSource, load_recipe


@pytest.fixture(scope="module")
def cases(web: Any) -> dict[str, tuple[bytes, bool, list[str]]]:
    return tars(web.jpeg())


@pytest.fixture(scope="module")
def labelled(cases: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tars")
    (folder / "in").mkdir()
    for name, (content, _, _) in cases.items():
        (folder / "in" / f"{name}.tar").write_bytes(content)
    return label_apart(WebDatasetSource(uri=str(folder / "in")), folder, unit_size=50)


def test_each_hostile_tar_gives_its_good_samples_and_its_rejects(cases: Any, labelled: Any) -> None:
    reasons: dict[str, list[str]] = {name: [] for name in cases}
    for row in labelled.rejects:
        name = row["message"].partition(".tar: ")[0]
        reasons[name].append(row["reason"])
    found = {name: sorted(why) for name, why in reasons.items()}
    assert found == {name: sorted(why) for name, (_, _, why) in cases.items()}
    missing = [name for name, (_, is_good, _) in cases.items() if is_good != (name in labelled.labels)]
    assert missing == []
    assert not Path("/tmp/glip-engine-escaped.txt").exists()


def test_hostile_tars_take_no_memory(labelled: Any) -> None:
    assert labelled.peak_bytes < 2 << 30


def test_a_tar_of_a_hundred_thousand_members_is_counted_to_the_last(web: Any, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    block, good = file("x.txt", b""), web.tar_of(tmp_path / "good.tar", web.samples(1)).read_bytes()
    with (tmp_path / "in" / "0.tar").open("wb") as out:
        for number in range(100_000):
            out.write(_renamed(block, f"{number:06d}x.txt"))
        out.write(good)
    labelled = label_apart(WebDatasetSource(uri=str(tmp_path / "in")), tmp_path, unit_size=50_000)
    assert len(labelled.rejects) == 100_000
    assert {row["reason"] for row in labelled.rejects} == {"image_missing"}
    assert list(labelled.labels) == ["000000000"]
    assert labelled.peak_bytes < 2 << 30
    assert labelled.processor_seconds < 120


def _renamed(block: bytes, name: str) -> bytes:
    named = name.encode().ljust(100, b"\0") + block[100:]
    total = sum(named[:148]) + 8 * 32 + sum(named[156:512])
    return named[:148] + f"{total:06o}\0 ".encode() + named[156:]


# ------------------------------------------------------------------------------------------------------ JSON and YAML

BOMBS = {
    "lists": b"[" * 1_000_000,
    "mappings": b'{"images":' * 300_000,
    "a huge number": b'{"images": ' + b"9" * 1_000_000 + b"}",
    "not a number": b"NaN",
    "infinite": b'{"images": 1e999, "annotations": -Infinity}',
    "half a pair": rb'{"images": [{"id": "\ud800", "file_name": "\udc00"}], "annotations": [{"id": "\ud800", '
    rb'"image_id": "\ud800", "caption": "a dog"}]}',
    "ids of every kind": json.dumps(
        {
            "images": [{"id": 1, "file_name": []}, {"id": True}, 7],
            "annotations": [{"id": {}, "image_id": []}, None, [1]],
        }
    ).encode(),
    "utf-16": '{"images": []}'.encode("utf-16"),
    "no byte": b"",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_json_bomb_as_captions_is_an_error_in_one_line_or_rejects(tmp_path: Path, bomb: str) -> None:
    (tmp_path / "captions.json").write_bytes(BOMBS[bomb])
    recipe = CocoSource(uri=str(tmp_path / "captions.json"), images=str(tmp_path))
    if bomb in ("half a pair", "ids of every kind"):  # a list of captions, none of which holds
        source = open_source(recipe)
        outcomes = [one for ref in source.units(10) for one in source.read(ref)]
        assert {one.reason for one in outcomes} <= {"annotation_invalid", "image_undeclared"}  # type: ignore[union-attr]
        assert outcomes
        return
    with pytest.raises(ValueError, match=r"^source [^\n]*$"):
        open_source(recipe)


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_json_bomb_as_a_list_of_urls_is_an_error_in_one_line_or_rejects(tmp_path: Path, bomb: str) -> None:
    good = b'{"url": "http://127.0.0.1:9/x.jpg", "caption": "a dog"}\n'
    (tmp_path / "list.jsonl").write_bytes(good + BOMBS[bomb] + b"\n" + good)
    source = open_source(UrlsSource(uri=str(tmp_path / "list.jsonl"), timeout_s=5, retries=0))
    outcomes = [one for ref in source.units(10) for one in source.read(ref)]
    reasons = [one.reason for one in outcomes]  # type: ignore[union-attr]
    assert reasons[0] == reasons[-1] == "private_address"
    assert len(reasons) == 3


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_json_bomb_as_statistics_is_not_believed(web: Any, tmp_path: Path, bomb: str) -> None:
    web.tar_of(tmp_path / "0.tar", web.samples(1))
    (tmp_path / "0_stats.json").write_bytes(BOMBS[bomb])
    assert [ref.rows for ref in open_source(WebDatasetSource(uri=str(tmp_path))).units(10)] == [1]


YAML_BOMBS = {
    "lists": "[" * 100_000,
    "mappings": "a: " + "{a: " * 50_000,
    "aliases": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "itself": "a: &a [*a]\n",
    "an object": "source: !!python/object/apply:os.system ['touch pwned']\n",
    "a number without end": f"unit_size: {'9' * 100_000}\n",
    "a date that is none": "unit_size: 2001-99-99\n",
    "a list as a key": "? [a]\n: b\n",
    "a number as a key": "7: 8\n",
    "nothing as a key": "? \n: b\n",
    "a nul": "unit_size: \0\n",
    "half a pair": 'unit_size: "\\ud800"\n',
    "two documents": "a: 1\n---\nb: 2\n",
    "base 60": "unit_size: 1:59:59:59\n",
    "infinite": "unit_size: .inf\nmin_score: .nan\n",
    "bytes": "source: !!binary aGVsbG8=\n",
    "a text": "source",
}


@pytest.mark.parametrize("bomb", YAML_BOMBS)
def test_a_yaml_bomb_is_an_error_in_one_line(tmp_path: Path, bomb: str) -> None:
    (tmp_path / "recipe.yaml").write_text(YAML_BOMBS[bomb])
    started = time.process_time()
    with pytest.raises(ValueError) as caught:
        load_recipe(LabelRecipe, tmp_path / "recipe.yaml")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 2000
    assert time.process_time() - started < 20
    with pytest.raises(ValueError):
        load_recipe(LabelRecipe, None, (f"source={YAML_BOMBS[bomb]}",))
