"""Statistics of a dataset, against a count in plain Python."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import fsspec
import pytest

from engine.artifacts import Store
from engine.selection import select
from engine.shards import LabelledImage, write_card, write_shard
from engine.sources.scenes import render_scene, scene_jpeg, scene_key
from engine.statistics import dataset_report
from schemas.recipes import ScenesSource
from schemas.records import Reject, UnitRef
from schemas.reports import StageCounts
from schemas.shards import DatasetCard, SampleBox, SampleLabels, SamplePhrase

CARD = DatasetCard(
    origin="pseudo", task="grounding", source_fingerprint="s", recipe_digest="r", teacher_digest="t", complete=True
)


def labelled_scene(index: int) -> LabelledImage:
    """A scene whose boxes have scores spread over the whole range."""
    scene = render_scene(index, ScenesSource(seed=9))
    boxes = [
        SampleBox(phrase=phrase, box_xyxy=box, score=((index * 7 + number * 5) % 19 + 1) / 20)
        for number, (phrase, box) in enumerate(scene.boxes)
    ]
    labels = SampleLabels(
        key=scene_key(index),
        caption=scene.caption,
        phrases=[SamplePhrase(text=p.text, start=p.start, end=p.end, head_lemma=p.head_lemma) for p in scene.phrases],
        boxes=boxes,
        width=scene.image.width,
        height=scene.image.height,
        image_sha256=f"{index // 2:064x}",
        locator="scenes",
        recipe_digest="r",
    )
    return LabelledImage(labels, scene_jpeg(scene.image), "jpg")


def write_unit(store: Store, unit: int, samples: list[LabelledImage]) -> None:
    rejects = [Reject(f"r{unit}", "parse", "no_phrase", f"caption of {unit}")]
    rows = len(samples) + len(rejects)
    stages = [
        StageCounts(stage="read", came_in=rows, went_on=rows),
        StageCounts(stage="parse", came_in=rows, went_on=len(samples), dropped={"no_phrase": 1}),
    ]
    ref = UnitRef(unit, "scenes", unit * rows, rows)
    write_shard(store, ref, samples, rejects, work_digest="w", stages=stages, seconds=2.0)


@pytest.fixture
def dataset(tmp_path: Path) -> tuple[Path, list[LabelledImage]]:
    store = Store(tmp_path / "scenes")
    samples = [labelled_scene(index) for index in range(20)]
    write_unit(store, 0, samples[:12])
    write_unit(store, 1, samples[12:])
    write_card(store, CARD)
    return tmp_path / "scenes", samples


@pytest.mark.parametrize("preset", ["all", "glip", "grit", "owl-st"])
def test_every_number_equals_a_plain_count(dataset: tuple[Path, list[LabelledImage]], preset: str) -> None:
    folder, samples = dataset
    report = dataset_report(folder, preset)
    kept = [select(sample.labels, preset) for sample in samples]
    grounded = [(s.key, b.phrase, s.phrases[b.phrase]) for s in kept for b in s.boxes]
    occurrences = {(key, number): phrase for key, number, phrase in grounded}
    texts = Counter(phrase.text.lower() for phrase in occurrences.values())
    images = {key for key, _, _ in grounded}
    boxes = [(s, b) for s in kept for b in s.boxes]
    expected = {
        "source_pairs": 22,
        "samples": 20,
        "parsed_phrases": sum(len(s.labels.phrases) for s in samples),
        "candidate_boxes": sum(len(s.labels.boxes) for s in samples),
        "pairs_per_second": 22 / 4,
        "images": len(images),
        "distinct_images": len({s.image_sha256 for s in kept if s.key in images}),
        "captions": len({s.caption for s in kept if s.key in images}),
        "boxes": len(boxes),
        "phrases": len(occurrences),
        "unique_phrases": len(texts),
        "unique_phrases_as_written": len({phrase.text for phrase in occurrences.values()}),
        "unique_head_lemmas": len({phrase.head_lemma for phrase in occurrences.values()}),
        "boxes_per_image": len(boxes) / len(images),
        "boxes_per_phrase": len(boxes) / len(occurrences),
        "unique_phrases_per_box": len(texts) / len(boxes),
        "seen_once_share": sum(count == 1 for count in texts.values()) / len(texts),
    }
    assert {name: report.number(name) for name in expected} == pytest.approx(expected)
    scores = sorted(box.score for _, box in boxes)
    assert scores[0] <= (report.number("median_score") or 0) <= scores[-1]
    assert report.head_phrases[0].occurrences == max(texts.values())
    assert report.tail_phrases[0].occurrences == min(texts.values())
    assert report.rank_frequency[0] == (1, max(texts.values()))


def test_histograms_hold_everything_once(dataset: tuple[Path, list[LabelledImage]]) -> None:
    folder, samples = dataset
    report = dataset_report(folder, "all")
    counts = {histogram.name: histogram.counts for histogram in report.histograms}
    boxes = [box for sample in samples for box in sample.labels.boxes]
    by_bin = Counter(min(int(box.score * 20 + 1e-6), 19) for box in boxes)
    assert counts["scores"] == [by_bin[number] for number in range(20)]
    by_image = Counter(len(sample.labels.boxes) for sample in samples)
    assert counts["boxes_per_image"][:6] == [by_image[number] for number in range(1, 7)]
    assert sum(counts["box_sizes"]) == len(boxes)


def test_the_funnel_adds_up_over_units_and_ends_in_the_selection(dataset: tuple[Path, list[LabelledImage]]) -> None:
    report = dataset_report(dataset[0], "glip")
    assert [(s.stage, s.came_in, s.went_on) for s in report.stages[:2]] == [("read", 22, 22), ("parse", 22, 20)]
    assert report.stages[2].stage == "selection"
    assert report.stages[2].came_in == 20
    assert report.box_selection is not None
    assert report.box_selection.dropped == {
        "score_not_above_min": report.box_selection.came_in - report.number("boxes")
    }
    [reject] = report.rejects
    assert (reject.stage, reject.reason, reject.count, reject.example) == ("parse", "no_phrase", 2, "caption of 0")


def test_the_dataset_s_own_selection_is_taken_where_none_is_asked_for(
    dataset: tuple[Path, list[LabelledImage]],
) -> None:
    folder, _ = dataset
    write_card(Store(folder), CARD.model_copy(update={"selection": "grit"}))
    assert dataset_report(folder) == dataset_report(folder, "grit")
    write_card(Store(folder), CARD.model_copy(update={"selection": {"min_score": 0.5}}))
    assert dataset_report(folder).numbers == dataset_report(folder, "glip").numbers


def test_human_boxes_are_not_selected(dataset: tuple[Path, list[LabelledImage]]) -> None:
    folder, samples = dataset
    write_card(Store(folder), CARD.model_copy(update={"origin": "human", "teacher_digest": None}))
    report = dataset_report(folder, "glip")
    assert report.selection is None
    assert report.number("boxes") == sum(len(sample.labels.boxes) for sample in samples)
    assert [stage.stage for stage in report.stages] == ["read", "parse"]


def test_a_unit_without_a_manifest_is_not_counted(dataset: tuple[Path, list[LabelledImage]]) -> None:
    folder, samples = dataset
    (folder / "manifests" / "000001.json").unlink()
    report = dataset_report(folder, "all")
    assert report.number("samples") == 12
    assert report.number("boxes") == sum(len(sample.labels.boxes) for sample in samples[:12])


def test_an_empty_dataset_gives_zeros(tmp_path: Path) -> None:
    write_card(Store(tmp_path), CARD)
    report = dataset_report(tmp_path)
    assert report.number("boxes") == 0
    assert report.number("boxes_per_image") is None
    assert report.head_phrases == []
    assert report.stages == [StageCounts(stage="selection", came_in=0, went_on=0)]


def test_what_is_no_dataset_and_no_preset_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no dataset"):
        dataset_report(tmp_path)
    write_card(Store(tmp_path), CARD)
    with pytest.raises(ValueError, match="no selection 'best'"):
        dataset_report(tmp_path, "best")


def test_an_object_store_gives_the_same_numbers(dataset: tuple[Path, list[LabelledImage]]) -> None:
    folder, _ = dataset
    write_card(Store(folder), CARD.model_copy(update={"origin": "human"}))
    memory = fsspec.filesystem("memory")
    for path in folder.rglob("*.*"):
        memory.pipe_file(f"/statistics/{path.relative_to(folder)}", path.read_bytes())
    remote = dataset_report("memory://statistics")
    assert remote.numbers == dataset_report(folder).numbers
