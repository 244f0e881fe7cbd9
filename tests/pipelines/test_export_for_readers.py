"""Exports keep the rules of the programs that read them, where these are stricter than the format's description."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from exported_datasets import human_dataset, rows_of
from sample_labels import labels_of
from stored_samples import samples_in

from engine.artifacts import Store
from engine.exporters.glip_tsv import glip_tsv
from engine.exporters.odvg import odvg
from engine.shards import write_shard
from pipelines.export import export, summary
from schemas.records import UnitRef
from schemas.shards import DatasetCard


def test_an_odvg_region_has_one_box_as_open_groundingdino_wants_it(tmp_path: Path) -> None:
    """Its reader makes a table of the boxes of all regions, with four numbers in each, and a label for each region; a
    region of several boxes stops it, or gives boxes to wrong phrases."""
    dataset = human_dataset(tmp_path, "grounding")
    export(dataset, tmp_path / "odvg", format="odvg", progress=False)
    lines = [json.loads(line) for line in (tmp_path / "odvg" / "odvg.jsonl").read_text().splitlines()]
    found = [[(one["phrase"], tuple(one["bbox"])) for one in line["grounding"]["regions"]] for line in lines]
    assert found == [[(phrases[n][0], box) for n, box in boxes] for _, phrases, boxes in rows_of(dataset)]
    assert max(map(len, found)) > len(rows_of(dataset)[0][1])  # some phrase has several boxes


def test_an_odvg_caption_begins_with_its_first_letter_as_mmdet_wants_it(tmp_path: Path) -> None:
    """Its training strips the caption but leaves the characters of the phrases as they are. Some captions of COCO begin
    with a space."""
    labels = labels_of(" \na cat and a dog ", [" \na cat", "a dog"], [(0, (1, 2, 3, 4), 1.0), (1, (5, 6, 7, 8), 1.0)])
    card = DatasetCard(origin="human", task="grounding", source_fingerprint="s", recipe_digest="r")
    with odvg(Store(tmp_path), card) as add:
        add(labels, "k.png")
    grounding = json.loads((tmp_path / "odvg.jsonl").read_text())["grounding"]
    spans = [span for region in grounding["regions"] for span in region["tokens_positive"]]
    assert [grounding["caption"].strip()[start:end] for start, end in spans] == ["a cat", "a dog"]


def test_boxes_that_glip_drops_are_the_last_ones_in_its_tsv(tmp_path: Path) -> None:
    """Its reader ends every picture one pixel earlier, drops the boxes that then have no area, and gives the phrases,
    from the first one on, to those that are left."""
    boxes = [(0, (99.25, 3, 100, 80), 1.0), (0, (5, 99.0, 9, 99.5), 1.0), (1, (1, 2, 100, 100), 1.0)]
    labels = labels_of("a cat and a dog", ["a cat", "a dog"], boxes, size=(100, 100))
    card = DatasetCard(origin="human", task="grounding", source_fingerprint="s", recipe_digest="r")
    with glip_tsv(Store(tmp_path), card) as add:
        add(labels, "k.png", None)
    label = json.loads((tmp_path / "label.tsv").read_text().split("\t")[1])
    assert list(zip(label["bboxes"], label["tokens_positive"], strict=True)) == [
        ([1, 2, 100, 100], [[10, 15]]),
        ([99.25, 3, 100, 80], [[0, 5]]),
        ([5, 99, 9, 99.5], [[0, 5]]),
    ]


def test_a_picture_of_an_mdetr_json_names_its_source(tmp_path: Path) -> None:
    """The readers of GoldG's mixed file (MDETR, GLIP) stop where a picture has none; those of the source ``coco``
    they look for in COCO's folder."""
    export(human_dataset(tmp_path, "grounding"), tmp_path / "mdetr", format="mdetr", progress=False)
    images = json.loads((tmp_path / "mdetr" / "mdetr.json").read_text())["images"]
    assert [image["data_source"] != "coco" for image in images] == [True] * 3


@pytest.mark.parametrize(("task", "written"), [("grounding", 0), ("detection", 3)])
def test_a_caption_without_boxes_is_left_out_and_a_picture_without_objects_is_not(
    tmp_path: Path, task: str, written: int
) -> None:
    """Readers of captions choose one of the boxes, and stop where there is none. As a picture of COCO it would say
    that nothing is there, which only a detection dataset knows."""
    dataset = human_dataset(tmp_path, task)
    samples = [replace(one, labels=one.labels.model_copy(update={"boxes": []})) for one in samples_in(dataset)]
    write_shard(Store(dataset), UnitRef(0, "u", 0, 3), samples, [], work_digest="1" * 64, stages=[])
    receipt = export(dataset, tmp_path / "coco", format="coco", progress=False)
    assert (receipt.samples, receipt.left_out.get("sample_without_box", 0)) == (written, 3 - written)
    assert "--selection" not in summary(receipt), "there is none of human boxes"
