"""The benchmarks of large inputs, at a small size: what they compare is what they say, and no round is passed over."""

from __future__ import annotations

import argparse
from collections import Counter
from itertools import count
from pathlib import Path

import label_diff
import pytest
import urls
from generated_boxes import write_generated

from engine.artifacts import Store
from schemas.recipes import UrlsSource


def test_of_the_compared_labellings_one_lacks_a_tenth_of_the_boxes_and_has_a_tenth_moved(tmp_path: Path) -> None:
    before, after = Store(tmp_path / "before"), Store(tmp_path / "after")
    boxes = write_generated(before, 5000)
    label_diff.write_changed(before, after)
    found = label_diff.measure(before.root, after.root)
    assert found["boxes"] == boxes
    for name in ("lost", "moved"):
        assert found[name] == pytest.approx(boxes / 10, rel=0.02)
    assert found["gained"] < boxes / 1000
    assert found["both"] + found["lost"] == boxes


def test_an_outcome_that_is_wrong_in_one_round_alone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    download, rounds = urls.ours, count()

    def wrong_at_first(listed: list[str], recipe: UrlsSource) -> Counter[str]:
        found = download(listed, recipe)
        return found if next(rounds) else found + Counter({"timeout": 1})

    monkeypatch.setattr(urls, "ours", wrong_at_first)
    options = argparse.Namespace(urls=100, concurrency=50, timeout_s=1.0, rounds=2)
    with urls.served() as port:
        figures = urls.measure(options, port, tmp_path)
    assert figures["every_url_as_expected"] is False
