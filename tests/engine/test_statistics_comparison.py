"""Two datasets side by side, against plain Python."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
from counted_datasets import Counted, counted_dataset
from report_datasets import dog, sample, write_dataset

from engine.statistics import statistics_of
from engine.statistics.comparison import compare, jensen_shannon, stability_index
from schemas.dataset_comparison import DatasetComparison


def compared(before: Counted, after: Counted, preset: str = "all") -> DatasetComparison:
    with statistics_of([before.folder, after.folder], preset) as [first, second]:
        return compare(first, second, "the teacher")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Counted, Counted]:
    folder = tmp_path_factory.mktemp("pair")
    return counted_dataset(folder / "old", seed=1), counted_dataset(folder / "new", seed=2, images=50)


def occurrences(counted: Counted) -> Counter[str]:
    return Counter(
        labels.phrases[number].text.lower()
        for labels in counted.labels()
        for number in {box.phrase for box in labels.boxes}
    )


def plain_jensen_shannon(before: Counter[str], after: Counter[str]) -> float:
    bits = 0.0
    for text in before.keys() | after.keys():
        p, q = before[text] / before.total(), after[text] / after.total()
        bits += sum(share * math.log2(share / ((p + q) / 2)) / 2 for share in (p, q) if share)
    return bits


def test_equal_datasets_have_not_drifted(pair: tuple[Counted, Counted]) -> None:
    found = compared(pair[0], pair[0])
    assert {one.jensen_shannon for one in found.drifts} == {0.0}
    assert {one.psi for one in found.drifts} == {0.0}
    assert {one.difference for one in found.numbers if one.before is not None} == {0.0}
    assert (found.phrases, found.heads) == ([], [])
    assert (found.vocabulary.before_only, found.vocabulary.after_only, found.vocabulary.jaccard) == (0, 0, 1.0)


def test_the_drift_of_phrases_is_over_all_of_them(pair: tuple[Counted, Counted]) -> None:
    old, new = occurrences(pair[0]), occurrences(pair[1])
    found = compared(*pair)
    [drift] = [one for one in found.drifts if one.name == "phrases"]
    assert drift.jensen_shannon == pytest.approx(plain_jensen_shannon(old, new), abs=1e-6)
    assert (sum(drift.before), sum(drift.after)) == (old.total(), new.total())
    assert drift.bins[-1] == "all others"
    assert sum(one.bits for one in found.phrases) == pytest.approx(drift.jensen_shannon, abs=1e-6)
    assert [one.bits for one in found.phrases] == sorted((one.bits for one in found.phrases), reverse=True)
    for one in found.phrases:
        assert (one.before, one.after) == (old[one.text], new[one.text])
        assert one.before_per_million == pytest.approx(old[one.text] / old.total() * 1e6, abs=1e-4)
    assert found.vocabulary.both == len(old.keys() & new.keys())
    assert found.vocabulary.after_only == len(new.keys() - old.keys())


def test_a_phrase_of_one_dataset_alone_has_no_occurrence_in_the_other(tmp_path: Path) -> None:
    cat = sample("cat", "a cat", [(0, 5)], [(0, (10, 10, 60, 80), 0.9)])
    folders = [
        write_dataset(tmp_path / name, samples) for name, samples in (("old", [dog(0), dog(1)]), ("new", [dog(0), cat]))
    ]
    with statistics_of(folders, "all") as [first, second]:
        found = compare(first, second, "the source")
    assert {one.text: (one.before, one.after) for one in found.phrases} == {
        "a dog": (2, 1),
        "a tree": (2, 1),
        "a cat": (0, 1),
    }
    assert (found.vocabulary.both, found.vocabulary.before_only, found.vocabulary.after_only) == (2, 0, 1)
    [drift] = [one for one in found.drifts if one.name == "phrases"]
    shares = [(1 / 2, 1 / 3), (1 / 2, 1 / 3), (1e-4, 1 / 3)]
    assert drift.psi == pytest.approx(sum((q - p) * math.log(q / p) for p, q in shares), abs=1e-6)


def test_histograms_drift_by_their_bins(pair: tuple[Counted, Counted]) -> None:
    found = compared(*pair, "owl-st")
    [scores] = [one for one in found.drifts if one.name == "scores"]
    old, new = (Counter(dict(zip(scores.bins, side, strict=True))) for side in (scores.before, scores.after))
    assert scores.jensen_shannon == pytest.approx(plain_jensen_shannon(old, new), abs=1e-6)
    numbers = {one.name: one for one in found.numbers}
    boxes = numbers["boxes"]
    assert (boxes.before, boxes.after) == (old.total(), new.total())
    assert boxes.difference == new.total() - old.total()
    assert boxes.ratio == pytest.approx(new.total() / old.total(), abs=1e-6)


def test_datasets_with_nothing_in_common_are_one_bit_apart() -> None:
    assert jensen_shannon([5, 0], [0, 3]) == 1.0
    assert jensen_shannon([1, 3], [2, 6]) == 0.0
    assert jensen_shannon([0, 0], [0, 3]) is None


def test_the_stability_index_is_its_sum_over_the_bins() -> None:
    expected = (0.25 - 0.5) * math.log(0.25 / 0.5) + (0.75 - 0.5) * math.log(0.75 / 0.5)
    assert stability_index([5, 5], [1, 3]) == pytest.approx(expected, abs=1e-6)
    assert stability_index([5, 0], [5, 0]) == 0.0
    assert (stability_index([1, 0], [0, 1]) or 0) > 5, "an empty bin has a least share, not an endless index"
    assert stability_index([0], [1]) is None


def test_a_dataset_of_nothing_drifts_from_nothing(pair: tuple[Counted, Counted], tmp_path: Path) -> None:
    empty = counted_dataset(tmp_path / "empty", units=1)
    found = compared(empty, pair[0])
    assert {one.jensen_shannon for one in found.drifts} == {None}
    assert found.vocabulary.both == 0
