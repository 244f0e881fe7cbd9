"""What a reviewer searches for is what a plain count finds, page after page, and a search is never SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from report_datasets import sample, write_dataset
from verdict_samples import held, said

from engine.artifacts import Store
from engine.box_tables import box_database
from engine.review.queries import PAGE_SAMPLES, ReviewIndex, ReviewQuery
from engine.review.verdicts import Verdicts, caption_sha256
from engine.shards import LabelledImage, committed_units

WORDS = ("a red dog", "two Dogs", "the cat", "a tree", 'it\'s 100% a "car"')


def some_samples(count: int) -> list[LabelledImage]:
    random = Random(3)
    samples = []
    for number in range(count):
        phrases = random.sample(WORDS, 3)
        caption = ", ".join(phrases)
        spans = [(caption.index(text), caption.index(text) + len(text)) for text in phrases]
        boxes = []
        for phrase in range(3):
            for _ in range(random.randrange(3)):
                x, side = random.randrange(100), random.choice((2, 12, 50))
                boxes.append((phrase, (x, 3.0, x + side, 3.0 + side), round(random.random(), 4)))
        samples.append(sample(f"{number:03d}", caption, spans, boxes))
    return samples


SAMPLES = some_samples(90)
WITH_BOX = [one.labels for one in SAMPLES if one.labels.boxes]
FIRST = WITH_BOX[0]
JUDGED = held([said(FIRST, FIRST.boxes[0].phrase, "accepted", FIRST.boxes[0].box_xyxy)])


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReviewIndex]:
    store = Store(write_dataset(tmp_path_factory.mktemp("review") / "dogs", SAMPLES, units=30))
    with box_database() as (connection, _):
        yield ReviewIndex(connection, store, committed_units(store), JUDGED)


def hold(index: ReviewIndex, verdicts: Verdicts) -> None:
    """These are all that hold from now on."""
    captions = {(one.image_sha256, caption_sha256(one.caption)) for one in WITH_BOX}
    index.take_verdicts({caption: verdicts.by_caption.get(caption, ()) for caption in captions})


def every_page(index: ReviewIndex, query: ReviewQuery) -> list[Any]:
    found, after = [], None
    while True:
        page = index.find(query, after)
        assert len(page.samples) <= PAGE_SAMPLES
        found += page.samples
        after = page.next
        if after is None:
            return found


def counted(matches: Callable[[Any, Any], bool]) -> dict[str, int]:
    """Samples with a box that matches, and how many do, by a plain count."""
    counts = {one.key: sum(matches(one, box) for box in one.boxes) for one in WITH_BOX}
    return {key: count for key, count in counts.items() if count}


def share(labels: Any, box: Any) -> float:
    x1, y1, x2, y2 = box.box_xyxy
    return (x2 - x1) * (y2 - y1) / (labels.width * labels.height)


QUERIES: list[tuple[dict[str, Any], Callable[[Any, Any], bool]]] = [
    ({}, lambda one, box: True),
    ({"phrase": "DOG"}, lambda one, box: "dog" in one.phrases[box.phrase].text.lower()),
    ({"phrase": "%"}, lambda one, box: "%" in one.phrases[box.phrase].text),
    ({"min_score": 0.25, "max_score": 0.75}, lambda one, box: 0.25 <= box.score <= 0.75),
    ({"size": "small"}, lambda one, box: share(one, box) < 1024 / 307200),
    ({"size": "large", "phrase": "cat"}, lambda one, box: share(one, box) >= 0.03 and box_is(one, box, "the cat")),
    ({"state": "reviewed"}, lambda one, box: one.key == FIRST.key),
    ({"state": "unreviewed"}, lambda one, box: one.key != FIRST.key),
    ({"state": "accepted"}, lambda one, box: one.key == FIRST.key),
    ({"state": "rejected"}, lambda one, box: False),
    ({"phrase": "no such thing"}, lambda one, box: False),
]


def box_is(labels: Any, box: Any, text: str) -> bool:
    return bool(labels.phrases[box.phrase].text == text)


@pytest.mark.parametrize(("fields", "matches"), QUERIES)
def test_a_search_finds_what_a_plain_count_finds(
    index: ReviewIndex, fields: dict[str, Any], matches: Callable[[Any, Any], bool]
) -> None:
    wanted = counted(matches)
    found = every_page(index, ReviewQuery(**fields))
    assert [(one.key, one.boxes) for one in found] == list(wanted.items()), "in the order of the dataset, each once"
    totals = index.totals(ReviewQuery(**fields))
    assert (totals.samples, totals.boxes, totals.exact) == (len(wanted), sum(wanted.values()), True)


def test_a_score_is_found_by_the_number_that_is_shown(index: ReviewIndex) -> None:
    """Tables hold it as float32, which most short decimals are not."""
    scores = [box.score for one in WITH_BOX for box in one.boxes]
    for score in scores[:20]:
        assert index.totals(ReviewQuery(min_score=score, max_score=score)).boxes == scores.count(score)


def test_scores_order_pages(index: ReviewIndex) -> None:
    best = {one.key: max(box.score for box in one.boxes) for one in WITH_BOX}
    highest = every_page(index, ReviewQuery(order="highest"))
    assert {one.key for one in highest} == set(best)
    first = [one.best_score for one in highest[:PAGE_SAMPLES]]
    assert first == pytest.approx(sorted(best.values(), reverse=True)[:PAGE_SAMPLES], abs=1e-4)
    worst = [min(box.score for box in one.boxes) for one in WITH_BOX]
    lowest = index.find(ReviewQuery(order="lowest")).samples[0]
    assert min(worst) == min(box.score for one in WITH_BOX if one.key == lowest.key for box in one.boxes)


def test_chance_gives_every_sample_once_in_an_order_that_stays(index: ReviewIndex) -> None:
    found = [one.key for one in every_page(index, ReviewQuery(order="random"))]
    assert sorted(found) == sorted(one.key for one in WITH_BOX)
    assert found != sorted(found)
    assert found == [one.key for one in every_page(index, ReviewQuery(order="random"))]


@pytest.mark.parametrize("order", ["dataset", "random", "lowest", "highest"])
def test_who_judges_page_after_page_misses_no_sample(index: ReviewIndex, order: Any) -> None:
    """What is judged on a page is no longer among the unreviewed, and the next page begins where this one ended."""
    query, seen, after = ReviewQuery(state="unreviewed", order=order), list[str](), None
    boxes = {one.key: one.boxes[0] for one in WITH_BOX}
    labels = {one.key: one for one in WITH_BOX}
    hold(index, Verdicts())
    while True:
        page = index.find(query, after)
        seen += [one.key for one in page.samples]
        rows = [said(labels[key], boxes[key].phrase, "accepted", boxes[key].box_xyxy) for key in seen]
        hold(index, held(rows))
        after = page.next
        if after is None:
            break
    hold(index, JUDGED)
    assert sorted(seen) == sorted(labels)


@pytest.mark.parametrize("text", ["' OR 1=1 --", "'; DROP TABLE judged; --", "\\", "a\u0000b", "%' UNION SELECT"])
def test_a_phrase_is_looked_for_and_never_run(index: ReviewIndex, text: str) -> None:
    assert index.find(ReviewQuery(phrase=text)).samples == []
    assert index.totals(ReviewQuery(state="reviewed")).samples == 1


@pytest.mark.parametrize("after", ["x", "1:2:3", "-1:0", "1", ":", "9" * 40 + ":0", "0:0; SELECT 1"])
def test_a_beginning_that_no_page_gave_is_refused(index: ReviewIndex, after: str) -> None:
    with pytest.raises(ValueError, match="beginning of a page"):
        index.find(ReviewQuery(), after)


@pytest.mark.parametrize("after", ["x", "0:0", "nan:0:0", "inf:0:0", "0.5:1", "9" * 40 + ":0:0", "0:0:0; SELECT 1"])
def test_so_is_one_of_a_sorted_page(index: ReviewIndex, after: str) -> None:
    for order in ("random", "lowest", "highest"):
        with pytest.raises(ValueError, match="beginning of a page"):
            index.find(ReviewQuery(order=order), after)


def test_a_key_leads_to_its_unit_and_an_unknown_one_nowhere(index: ReviewIndex) -> None:
    assert [index.unit_of(one.key) for one in WITH_BOX[:5]] == [int(one.key) // 3 for one in WITH_BOX[:5]]
    for key in ("../000", "'; --", "", "999"):
        assert index.unit_of(key) is None


def test_verdicts_that_come_later_change_what_is_reviewed(index: ReviewIndex) -> None:
    second = WITH_BOX[1]
    more = held([said(second, second.boxes[0].phrase, "rejected", second.boxes[0].box_xyxy)])
    index.take_verdicts(more.by_caption)
    assert [one.key for one in index.find(ReviewQuery(state="rejected")).samples] == [second.key]
    assert [one.key for one in index.find(ReviewQuery(state="accepted")).samples] == [FIRST.key], "of others it stays"
    index.take_verdicts(dict.fromkeys(more.by_caption, ()))
    assert index.find(ReviewQuery(state="rejected")).samples == []


@pytest.mark.parametrize("order", ["dataset", "random", "lowest", "highest"])
def test_samples_are_found_with_how_many_verdicts_hold_in_them(index: ReviewIndex, order: Any) -> None:
    found = every_page(index, ReviewQuery(order=order))
    assert {one.key: one.judged for one in found if one.judged} == {FIRST.key: 1}


def test_a_dataset_without_a_unit_has_nothing(tmp_path: Path) -> None:
    with box_database() as (connection, _):
        index = ReviewIndex(connection, Store(tmp_path), [], Verdicts())
        assert index.find(ReviewQuery()).samples == []
        assert index.totals(ReviewQuery()).boxes == 0
        assert index.unit_of("a") is None


def test_later_pages_begin_where_the_one_before_ended(index: ReviewIndex) -> None:
    keys = [one.key for one in every_page(index, ReviewQuery())]
    assert all(before < after for before, after in pairwise(keys))
