"""The laws that phrases follow, and what no human dataset names, against plain Python."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
from counted_datasets import CARD, Counted, counted_dataset
from sample_labels import labels_of, write_units

from engine.artifacts import Store
from engine.shards import LabelledImage, write_card
from engine.statistics import dataset_report, statistics_of
from engine.statistics.tables import is_form_of
from engine.statistics.vocabulary_laws import PAPER_PAIRS, paper_figures, zipf_fit
from schemas.dataset_vocabulary import VocabularyGrowth
from schemas.shards import SampleLabels

HUMAN = CARD.model_copy(update={"origin": "human", "teacher_digest": None})


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Counted:
    return counted_dataset(tmp_path_factory.mktemp("counted") / "web", images=60)


def texts_of(labels: SampleLabels) -> list[str]:
    return [labels.phrases[number].text.lower() for number in sorted({box.phrase for box in labels.boxes})]


def plain_line(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Slope and intercept of the least-squares line through the logarithms."""
    across, up = [math.log(x) for x, _ in points], [math.log(y) for _, y in points]
    mean_x, mean_y = sum(across) / len(across), sum(up) / len(up)
    spread = sum((x - mean_x) ** 2 for x in across)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(across, up, strict=True)) / spread
    return slope, mean_y - slope * mean_x


def test_the_growth_of_the_vocabulary_is_that_of_reading_image_by_image(counted: Counted) -> None:
    growth = dataset_report(counted.folder, "all").vocabulary_growth
    assert growth is not None
    seen: set[str] = set()
    read = 0
    plain = {}
    for number, labels in enumerate(counted.labels(), 1):
        texts = texts_of(labels)
        read += len(texts)
        seen.update(texts)
        plain[number] = (read, len(seen))
    assert {one.images: (one.occurrences, one.unique_phrases) for one in growth.points}.items() <= plain.items()
    assert growth.points[-1].images == len(counted.labels())
    assert len(growth.points) > 10
    slope, intercept = plain_line([(one.occurrences, one.unique_phrases) for one in growth.points])
    assert growth.exponent == pytest.approx(slope, abs=1e-6)
    assert growth.scale == pytest.approx(math.exp(intercept), abs=1e-5)


def test_zipfs_law_is_fitted_to_the_ranks_shown(counted: Counted) -> None:
    report = dataset_report(counted.folder, "all")
    assert report.zipf is not None
    slope, intercept = plain_line([(rank, count) for rank, count in report.rank_frequency])
    assert report.zipf.exponent == pytest.approx(-slope, abs=1e-6)
    assert report.zipf.scale == pytest.approx(math.exp(intercept), abs=1e-5)


def test_a_perfect_law_is_found_again_and_too_few_points_give_none() -> None:
    fit = zipf_fit([(rank, 1000 // rank) for rank in (1, 2, 4, 5, 8, 10, 20)])
    assert fit is not None
    assert (fit.exponent, fit.scale, fit.r_squared) == pytest.approx((1.0, 1000.0, 1.0), abs=1e-5)
    assert zipf_fit([(1, 5), (2, 3), (3, 1)]) is None
    assert zipf_fit([(1, 1), (2, 1), (3, 1), (4, 1)]) is None


def test_ranks_are_spaced_and_hold_their_own_counts(tmp_path: Path) -> None:
    counted = counted_dataset(tmp_path / "web", images=40)
    occurrences = Counter(text for labels in counted.labels() for text in texts_of(labels))
    by_rank = sorted(occurrences.values(), reverse=True)
    ranks = dataset_report(counted.folder, "all").rank_frequency
    assert [rank for rank, _ in ranks] == sorted({rank for rank, _ in ranks})
    assert [by_rank[rank - 1] for rank, _ in ranks] == [count for _, count in ranks]
    assert {1, 2, 3, 4, 5} <= {rank for rank, _ in ranks}


def test_the_paper_stands_beside_an_extrapolation_to_its_pairs() -> None:
    growth = VocabularyGrowth(points=[], exponent=0.5, scale=2.0, definition="", sql="")
    values: dict[str, float | None] = {"source_pairs": 240, "boxes": 900, "phrases": 400, "unique_phrases": 40}
    found = {one.name: one for one in paper_figures(values, growth)}
    factor = PAPER_PAIRS / 240
    assert found["boxes"].extrapolated == 900 * factor
    assert found["unique_phrases"].extrapolated == pytest.approx(2.0 * math.sqrt(400 * factor))
    assert [one.paper for one in found.values()] == [78.1e6, 58.4e6, 3.25, 0.75]
    nothing = paper_figures({}, growth)
    assert [(one.here, one.extrapolated) for one in nothing] == [(None, None)] * 4


def test_new_concepts_are_what_no_human_phrase_is_a_form_of(counted: Counted, tmp_path: Path) -> None:
    human = counted_dataset(tmp_path / "human", units=2, images=2, seed=5, card=HUMAN)
    named = {text for labels in human.labels() for text in texts_of(labels)}
    report = dataset_report(counted.folder, "all", human=[human.folder])
    assert report.novelty is not None
    assert report.novelty.human_phrases == len(named)
    forms = {"a dog": "dog", "the brown dogs": "brown dog", "two brown dogs": "two brown dog", "her red hat": "red hat"}
    forms |= {"three wise men": "three wise man", "🐶 puppies": "🐶 puppy"}
    forms |= {'"quoted" `ticks` % _ \\': '"quoted" `ticks` % _ \\'}
    known = {forms.get(text, text) for text in named}
    occurrences = Counter(text for labels in counted.labels() for text in texts_of(labels))
    new = {text: count for text, count in occurrences.items() if forms.get(text, text) not in known}
    assert 0 < len(new) < len(occurrences)
    assert {one.text: one.occurrences for one in report.novelty.phrases} == new
    assert report.novelty.new_phrases == len(new)
    assert report.novelty.new_share == pytest.approx(len(new) / len(occurrences), abs=1e-6)
    assert report.novelty.new_occurrence_share == pytest.approx(sum(new.values()) / occurrences.total(), abs=1e-6)
    assert {one.text for one in report.head_phrases if one.new} == new.keys() & {
        one.text for one in report.head_phrases
    }
    heads = {phrase.head_lemma for one in counted.labels() for phrase in one.phrases if texts_of(one)}
    human_heads = {one.phrases[box.phrase].head_lemma for one in human.labels() for box in one.boxes}
    assert report.novelty.new_heads == len(heads - human_heads)


@pytest.mark.parametrize(("text", "new"), [("A Brown Dog", 0), ("the brown dogs", 0), ("a dog", 1)])
def test_another_form_of_a_human_phrase_is_no_new_concept(tmp_path: Path, text: str, new: int) -> None:
    for name, phrase, card in (("human", "brown dogs", HUMAN), ("web", text, CARD)):
        labels = labels_of(phrase, [(0, len(phrase), "dog")], [(0, (0, 0, 9, 9), 1)])
        store = Store(tmp_path / name)
        write_units(store, [[LabelledImage(labels, b"", "jpg")]])
        write_card(store, card)
    report = dataset_report(tmp_path / "web", "all", human=[tmp_path / "human"])
    assert report.novelty is not None
    assert report.novelty.new_phrases == new


def test_the_human_datasets_of_a_report_are_its_vocabulary(counted: Counted, tmp_path: Path) -> None:
    human = counted_dataset(tmp_path / "human", units=2, images=2, seed=5, card=HUMAN)
    with statistics_of([counted.folder, human.folder], "all") as [web, people]:
        assert web.report == dataset_report(counted.folder, "all", human=[human.folder])
        assert people.report.novelty is None
        counts = web.phrase_counts({"A dog", "a dog", "no such phrase", "x'; DROP TABLE phrases; --"})
        assert {text: one.text for text, one in counts.items()} == {"A dog": "a dog", "a dog": "a dog"}
        assert counts["a dog"] in web.report.head_phrases


def test_a_dataset_is_not_new_to_nobody(counted: Counted) -> None:
    report = dataset_report(counted.folder, "all")
    assert report.novelty is None
    assert {one.new for one in report.head_phrases} == {None}


def test_what_is_no_human_dataset_is_said(counted: Counted, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a dataset"):
        dataset_report(counted.folder, human=[tmp_path / "nowhere"])


def test_forms_of_a_noun_are_known() -> None:
    assert is_form_of("men", "man")
    assert is_form_of("dogs", "dog")
    assert not is_form_of("hat", "man")


def test_no_phrase_gives_no_law(tmp_path: Path) -> None:
    write_card(Store(tmp_path), CARD)
    report = dataset_report(tmp_path)
    assert (report.zipf, report.rank_frequency) == (None, [])
    assert report.vocabulary_growth is not None
    assert report.vocabulary_growth.points == []
    assert report.vocabulary_growth.exponent is None
