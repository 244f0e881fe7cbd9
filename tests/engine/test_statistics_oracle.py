"""Every number of a small dataset against a count in plain Python that knows nothing of tables or SQL."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from counted_datasets import Counted, counted_dataset
from plain_counts import area, boxes_of, grounded, plain_numbers

from engine.selection import select_with_reasons
from engine.statistics import dataset_report
from schemas.dataset_report import DatasetReport
from schemas.shards import SampleLabels

PRESETS = ("all", "glip", "grit", "owl-st")
Reported = tuple[Counted, list[SampleLabels], DatasetReport]


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Counted:
    return counted_dataset(tmp_path_factory.mktemp("counted") / "web")


@pytest.fixture(scope="module", params=PRESETS)
def reported(counted: Counted, request: pytest.FixtureRequest) -> Reported:
    kept = [select_with_reasons(one, request.param)[0] for one in counted.labels()]
    return (
        counted,
        [one for one in kept if one.boxes],
        dataset_report(counted.folder, request.param, price_per_hour=2.5),
    )


def test_every_number_equals_a_plain_count(reported: Reported) -> None:
    counted, kept, report = reported
    assert {one.name: one.value for one in report.numbers} == pytest.approx(plain_numbers(counted, kept), rel=1e-6)


def test_every_histogram_equals_a_plain_count(reported: Reported) -> None:
    _, kept, report = reported
    boxes, phrases = boxes_of(kept), grounded(kept)
    values = {
        "scores": [box.score for _, box in boxes],
        "boxes_per_image": [len(labels.boxes) for labels in kept],
        "boxes_per_phrase": [count for _, _, count in phrases],
        "phrases_per_image": [len({box.phrase for box in labels.boxes}) for labels in kept],
        "box_sizes": [math.sqrt(area(box) / (labels.width * labels.height)) for labels, box in boxes],
        "box_aspects": [
            math.log2((box.box_xyxy[2] - box.box_xyxy[0]) / (box.box_xyxy[3] - box.box_xyxy[1]))
            for _, box in boxes
            if box.box_xyxy[2] > box.box_xyxy[0] and box.box_xyxy[3] > box.box_xyxy[1]
        ],
        "image_sides": [max(labels.width, labels.height) for labels in kept],
        "image_aspects": [math.log2(labels.width / labels.height) for labels in kept],
    }
    for one in report.histograms:
        places = Counter(
            int(np.searchsorted(one.edges, value + 1e-6, side="right")) - 1 for value in values.pop(one.name)
        )
        last = len(one.counts) - 1
        plain = Counter({place: places[place] for place in range(last)})
        plain[0] += sum(count for place, count in places.items() if place < 0)
        plain[last] += sum(count for place, count in places.items() if place >= last)
        assert dict(enumerate(one.counts)) == {place: plain[place] for place in range(last + 1)}, one.name
    assert not values, "a histogram that nobody counted"


def test_the_heat_map_and_the_sizes_equal_a_plain_count(reported: Reported) -> None:
    _, kept, report = reported
    [heat] = report.heat_maps
    side = len(heat.counts)
    plain = Counter(
        (
            min(int((box.box_xyxy[1] + box.box_xyxy[3]) / 2 / labels.height * side), side - 1),
            min(int((box.box_xyxy[0] + box.box_xyxy[2]) / 2 / labels.width * side), side - 1),
        )
        for labels, box in boxes_of(kept)
    )
    found = {(y, x): count for y, row in enumerate(heat.counts) for x, count in enumerate(row) if count}
    moved = sum((Counter(found) - plain).values())
    assert moved <= 1, "but for a centre that float32 puts over a line"
    assert sum(found.values()) == len(boxes_of(kept))
    sizes = Counter((labels.width, labels.height) for labels in kept)
    assert {(one.width, one.height): one.images for one in report.image_sizes} == sizes


def test_the_phrases_and_heads_equal_a_plain_count(reported: Reported) -> None:
    _, kept, report = reported
    occurrences, images, boxes = Counter[str](), Counter[str](), Counter[str]()
    for labels in kept:
        for number, count in Counter(box.phrase for box in labels.boxes).items():
            text = labels.phrases[number].text.lower()
            occurrences[text] += 1
            boxes[text] += count
        images.update({labels.phrases[box.phrase].text.lower() for box in labels.boxes})
    ranked = sorted(occurrences, key=lambda text: (-occurrences[text], text.encode()))
    plain = [(text, occurrences[text], images[text], boxes[text], None) for text in ranked]
    assert [tuple(one.model_dump().values()) for one in report.head_phrases] == plain[:30]
    assert [one.occurrences for one in report.tail_phrases] == sorted(occurrences.values())[:40]
    assert report.rank_frequency[0] == (1, max(occurrences.values()))
    by_rank = dict(enumerate(sorted(occurrences.values(), reverse=True), 1))
    assert all(by_rank[rank] == count for rank, count in report.rank_frequency)
    heads = Counter(head for _, head, _ in grounded(kept))
    by_head = {
        head: [box.score for one, box in boxes_of(kept) if one.phrases[box.phrase].head_lemma == head] for head in heads
    }
    assert {one.head_lemma: (one.occurrences, one.boxes) for one in report.head_lemmas} == {
        head: (count, len(by_head[head])) for head, count in heads.items()
    }
    means = {one.head_lemma: one.mean_score for one in report.head_lemmas}
    assert means == pytest.approx({head: fmean(scores) for head, scores in by_head.items()}, abs=2e-6)
    unique = Counter(head for _, head in {(text.lower(), head) for text, head, _ in grounded(kept)})
    assert {one.head_lemma: one.unique_phrases for one in report.head_lemmas} == unique


def test_the_funnel_and_the_rejects_equal_a_plain_count(reported: Reported) -> None:
    counted, kept, report = reported
    rejects = [(unit, one) for unit, found in enumerate(counted.rejects) for one in found]
    by_reason = Counter((one.stage, one.reason) for _, one in rejects)
    assert {(one.stage, one.reason): one.count for one in report.rejects} == by_reason
    first = {(one.stage, one.reason): one.message for _, one in reversed(rejects)}
    assert {(one.stage, one.reason): one.example for one in report.rejects} == first
    by_unit = Counter((unit, one.stage, one.reason) for unit, one in rejects)
    assert {(one.unit, one.stage, one.reason): one.count for one in report.unit_rejects} == by_unit
    hosts = Counter(
        {"http_404": "a.example", "timeout": "b.example"}[one.reason]
        for _, one in rejects
        if "://" in one.message and one.stage == "read"
    )
    assert {one.host: one.rows for one in report.link_rot} == hosts
    assert all(sum(one.reasons.values()) == one.rows for one in report.link_rot)
    pairs = sum(map(len, counted.samples)) + len(rejects)
    read = sum(count for (stage, _), count in by_reason.items() if stage == "read")
    assert [(one.stage, one.came_in, one.went_on) for one in report.stages] == [
        ("read", pairs, pairs - read),
        ("phrases", pairs - read, len(counted.labels())),
        ("ground", len(counted.labels()), len(counted.labels())),
        ("selection", len(counted.labels()), len(kept)),
    ]
    assert report.box_selection is not None
    dropped = Counter[str]()
    for one in counted.labels():
        dropped.update(select_with_reasons(one, str(report.selection))[1])
    assert report.box_selection.dropped == dropped


def test_the_times_equal_a_plain_count(reported: Reported) -> None:
    counted, _, report = reported
    slowest = sorted(counted.manifests, key=lambda one: -one.seconds)
    assert [(one.unit, one.seconds, one.rows, one.worker) for one in report.slowest_units] == [
        (one.unit, one.seconds, one.rows, one.worker) for one in slowest
    ]
    assert report.unit_seconds is not None
    assert sum(report.unit_seconds.counts) == len(counted.manifests)
    stages = Counter[str]()
    for manifest in counted.manifests:
        stages.update({stage.stage: stage.seconds for stage in manifest.stages})
    assert {one.stage: one.seconds for one in report.stage_times} == pytest.approx(stages)


def test_the_caption_sample_equals_a_plain_count(counted: Counted) -> None:
    captions = [one.caption for one in counted.labels()]
    found = dataset_report(counted.folder).captions
    assert found is not None
    assert (found.captions, found.units) == (len(captions), 3), "all of so few"
    assert found.characters is not None
    plain = Counter(min(len(caption) // 20, 19) for caption in captions)
    assert found.characters.counts == [plain[place] for place in range(20)]
    assert found.words is not None
    words = Counter(min(len(caption.split()) // 3, 19) for caption in captions)
    assert found.words.counts == [words[place] for place in range(20)]
    assert sum(one.captions for one in found.languages) == len(captions)
    assert found.language_unknown is None


def test_captions_are_told_apart_by_their_text_alone(tmp_path: Path) -> None:
    counted = counted_dataset(tmp_path / "web", units=2, images=5)
    digests = {hashlib.sha256(one.caption.encode()).hexdigest() for one in counted.labels()}
    assert dataset_report(counted.folder, "all").number("captions") == len(digests)
