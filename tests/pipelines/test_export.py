"""What an export holds is what the dataset holds: each format is read back, by pycocotools or by our own reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from coco_sources import box_entry, detection_source
from exported_datasets import (
    CAPTIONS,
    CLASSES,
    HEIGHT,
    WIDTH,
    boxes_by_head,
    card_of,
    human_dataset,
    images_of,
    pseudo_dataset,
    round_trip,
    rows_of,
)
from pycocotools.coco import COCO
from stored_samples import samples_in

from engine.artifacts import Store
from engine.exporters import EXPORTERS
from engine.gold import READERS, import_gold
from pipelines.cli import main
from pipelines.dedupe import dedupe
from pipelines.export import RECEIPT, export
from schemas.recipes import EXPORT_FORMATS, ScenesSource
from schemas.shards import SampleCrowd


def test_the_command_line_knows_every_format() -> None:
    assert tuple(EXPORTERS) == EXPORT_FORMATS


@pytest.mark.parametrize("format", ["coco", "odvg", "yolo", "voc"])
def test_detection_comes_back_as_it_was(tmp_path: Path, format: str) -> None:
    dataset = human_dataset(tmp_path, "detection")
    back = round_trip(tmp_path, dataset, format)
    assert rows_of(back) == rows_of(dataset)
    assert len(rows_of(dataset)) == 3  # one of them without a box
    assert card_of(back).classes == CLASSES
    assert images_of(back) == images_of(dataset)


@pytest.mark.parametrize("format", ["coco-phrases", "odvg", "mdetr", "grit", "glip-tsv"])
def test_grounding_comes_back_as_it_was(tmp_path: Path, format: str) -> None:
    dataset = human_dataset(tmp_path, "grounding")
    back = round_trip(tmp_path, dataset, format)
    assert rows_of(back) == rows_of(dataset)
    assert [row[0] for row in rows_of(dataset)] == CAPTIONS
    assert [image for _, image in images_of(back)] == [image for _, image in images_of(dataset)]
    if format != "coco-phrases":  # there the key has the caption's number too
        assert images_of(back) == images_of(dataset)


@pytest.mark.parametrize("format", [format for format in EXPORT_FORMATS if format in READERS])
def test_drawn_scenes_come_back_from_every_format(tmp_path: Path, format: str) -> None:
    """Of a format of classes, the boxes by the head of their phrase."""
    import_gold("scenes", ScenesSource(count=4, seed=2), tmp_path / "scenes")
    back = round_trip(tmp_path, tmp_path / "scenes", format)
    if format in ("coco", "yolo", "voc"):
        assert boxes_by_head(back) == boxes_by_head(tmp_path / "scenes")
    else:
        assert rows_of(back) == rows_of(tmp_path / "scenes")


def test_pycocotools_reads_what_was_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = human_dataset(tmp_path, "detection")
    export(dataset, tmp_path / "coco", format="coco")
    coco = COCO(str(tmp_path / "coco" / "instances.json"))
    names = {category["id"]: category["name"] for category in coco.loadCats(coco.getCatIds())}
    assert sorted(names) == [1, 2, 3]
    for row, image_id in zip(samples_in(dataset), coco.getImgIds(), strict=True):
        (image,) = coco.loadImgs(image_id)
        assert (image["file_name"], image["width"], image["height"]) == (f"{row.labels.key}.png", WIDTH, HEIGHT)
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image_id))
        for box, annotation in zip(row.labels.boxes, annotations, strict=True):
            x1, y1, x2, y2 = box.box_xyxy
            assert annotation["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1])
            assert annotation["area"] == pytest.approx((x2 - x1) * (y2 - y1))
            assert names[annotation["category_id"]] == row.labels.phrases[box.phrase].text
    assert not (tmp_path / "coco" / "images").exists()
    capsys.readouterr()


def test_crowds_and_areas_of_masks_come_back_from_coco(tmp_path: Path) -> None:
    crowd = {"image_id": 1, "category_id": 7, "bbox": [0, 0, 50, 40], "iscrowd": 1, "area": 900.5}
    source = detection_source(tmp_path, [crowd, box_entry(1, 5, [10, 20, 30, 40]) | {"area": 612.25}])
    import_gold("coco", source, tmp_path / "human")
    export(tmp_path / "human", tmp_path / "exported", format="coco", images=True, progress=False)
    import_gold("coco", tmp_path / "exported", tmp_path / "back")
    [before], [after] = ([s.labels for s in samples_in(tmp_path / one) if s.labels.boxes] for one in ("human", "back"))
    assert after.crowds == before.crowds == [SampleCrowd(name="traffic light", box_xyxy=(0, 0, 50, 40))]
    assert [box.area for box in after.boxes] == [box.area for box in before.boxes] == [612.25]


def test_coco_scores_our_own_boxes_as_perfect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pycocotools.cocoeval import COCOeval

    export(human_dataset(tmp_path, "detection"), tmp_path / "coco", format="coco")
    truth = COCO(str(tmp_path / "coco" / "instances.json"))
    found = [{**annotation, "score": 1.0} for annotation in truth.dataset["annotations"]]
    evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)
    capsys.readouterr()


@pytest.mark.parametrize(
    ("selection", "scores", "samples"),
    [
        (None, [0.9, 0.6], 2),  # the card's own: glip, above 0.5
        ("all", [0.9, 0.2, 0.6, 0.1], 3),
        ({"min_score": 0.15}, [0.9, 0.2, 0.6], 2),
    ],
)
def test_pseudo_labels_are_selected_and_what_is_left_out_is_counted(
    tmp_path: Path, selection: Any, scores: list[float], samples: int
) -> None:
    dataset = pseudo_dataset(tmp_path / "pseudo")
    receipt = export(dataset, tmp_path / "out", format="coco", selection=selection, progress=False)
    document = json.loads((tmp_path / "out" / "instances.json").read_text())
    assert [annotation["score"] for annotation in document["annotations"]] == scores
    assert (receipt.samples, receipt.boxes, len(document["images"])) == (samples, len(scores), samples)
    assert receipt.left_out.get("sample_without_box", 0) == 3 - samples
    assert receipt.left_out["box_without_area"] == 1
    assert json.loads((tmp_path / "out" / RECEIPT).read_text()) == receipt.model_dump(mode="json")


def test_duplicates_are_left_out_as_everywhere(tmp_path: Path) -> None:
    """The three pictures are one."""
    dataset = pseudo_dataset(tmp_path / "pseudo")
    dedupe(dataset, progress=False)
    receipt = export(dataset, tmp_path / "out", format="odvg", selection="all", progress=False)
    assert (receipt.samples, receipt.left_out["duplicate"]) == (1, 2)


def test_human_boxes_are_never_selected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="never selected"):
        export(human_dataset(tmp_path, "detection"), tmp_path / "out", format="coco", selection="glip")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("format", EXPORT_FORMATS)
def test_a_key_never_becomes_a_path(tmp_path: Path, format: str) -> None:
    """The tar is of somebody else: the key inside its labels is another one than the member's name."""
    dataset = pseudo_dataset(tmp_path / "pseudo")
    shard = dataset / "shards" / "000000.tar"
    content = shard.read_bytes()
    for harmless, evil in ((b"sample-one", b"../../evil"), (b"sample-two", b"/tmp/evil2")):
        assert content.count(b'"key":"' + harmless) == 1
        content = content.replace(b'"key":"' + harmless, b'"key":"' + evil)
    shard.write_bytes(content)
    before = {path for path in tmp_path.rglob("*") if "out" not in path.parts}
    export(dataset, tmp_path / "deep" / "er" / "out", format=format, selection="all", images=True, progress=False)
    written = {path for path in tmp_path.rglob("*") if path not in before and path.is_file()}
    assert all(path.is_relative_to(tmp_path / "deep" / "er" / "out") for path in written)
    inside = EXPORTERS[format].image_folder is None
    assert len([path for path in written if path.suffix == ".png"]) == (0 if inside else 3)
    assert not Path("/tmp/evil2.png").exists()


@pytest.mark.parametrize("format", [format for format in EXPORT_FORMATS if EXPORTERS[format].image_folder])
def test_a_disk_that_ignores_case_has_every_picture_and_its_labels(tmp_path: Path, format: str) -> None:
    dataset = pseudo_dataset(tmp_path / "pseudo")
    shard = dataset / "shards" / "000000.tar"
    shard.write_bytes(shard.read_bytes().replace(b'"key":"sample-two"', b'"key":"SAMPLE-ONE"'))
    export(dataset, tmp_path / "out", format=format, selection="all", images=True, progress=False)
    files = [path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len({str(file).casefold() for file in files}) == len(files)
    assert len([file for file in files if file.suffix == ".png"]) == 3
    assert len([file for file in files if file.parts[0] in ("labels", "Annotations")]) in (0, 3)


def test_an_export_has_a_folder_of_its_own(tmp_path: Path) -> None:
    dataset = human_dataset(tmp_path, "detection")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty"):
        export(dataset, tmp_path / "out", format="yolo")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_an_object_store_gets_the_same_files(tmp_path: Path, s3_bucket: str) -> None:
    dataset = human_dataset(tmp_path, "detection")
    for format in ("coco", "voc"):
        out = f"{s3_bucket}/{format}"
        export(dataset, tmp_path / format, format=format, images=True, progress=False)
        export(dataset, out, format=format, images=True, progress=False)
        for file in (path for path in (tmp_path / format).rglob("*") if path.is_file()):
            assert Store(out).read(str(file.relative_to(tmp_path / format))) == file.read_bytes()
        with pytest.raises(ValueError, match="is not empty"):
            export(dataset, out, format=format, progress=False)


@pytest.mark.parametrize("format", [format for format in EXPORT_FORMATS if format in READERS])
def test_a_reader_takes_no_part_of_an_export_for_all_of_it(tmp_path: Path, format: str) -> None:
    """It fails at the last sample; of VOC, its list of pictures is what readers begin with."""
    dataset = human_dataset(tmp_path, "detection" if format in ("coco", "yolo", "voc") else "grounding")
    whole = tmp_path / "whole"
    export(dataset, whole, format=format, images=True, progress=False)
    split = "train" if format == "voc" else None
    assert import_gold(format, whole, tmp_path / "back", split=split).samples == 3
    shard = dataset / "shards" / "000000.tar"
    before, last, after = shard.read_bytes().rpartition(b'"phrase":0,')
    shard.write_bytes(before + last.replace(b"0", b"9") + after)
    part = tmp_path / "part"
    with pytest.raises(ValueError, match="breaks the format"):
        export(dataset, part, format=format, images=True, progress=False)
    assert not (part / RECEIPT).exists()
    with pytest.raises(ValueError):
        import_gold(format, part, tmp_path / "none", split=split)


def test_names_that_mean_something_to_yaml_stay_names(tmp_path: Path) -> None:
    dataset = human_dataset(tmp_path, "detection", classes=["no", "2", "a: b"])
    export(dataset, tmp_path / "yolo", format="yolo", progress=False)
    names = yaml.safe_load((tmp_path / "yolo" / "data.yaml").read_text())["names"]
    assert names == {0: "no", 1: "2", 2: "a: b"}


def test_the_commands_export_and_import(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = human_dataset(tmp_path, "detection")
    out = str(tmp_path / "voc")
    assert main(["export", str(dataset), "--format", "voc", "--out", out, "--images", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["boxes"] == 3
    assert main(["import", "voc", out, "--out", str(tmp_path / "back"), "--json"]) == 0
    assert rows_of(tmp_path / "back") == rows_of(dataset)
    assert main(["export", str(dataset), "--format", "voc", "--out", out]) == 2
    assert main(["export", str(tmp_path), "--format", "voc", "--out", str(tmp_path / "x")]) == 2
    capsys.readouterr()
