"""Small human datasets in the layouts of other projects, and what of them arrives: for tests of import and export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image
from stored_samples import samples_in

from engine.gold import import_gold
from schemas.shards import DatasetCard, SampleLabels

WIDTH, HEIGHT = 100, 80
Imported = tuple[DatasetCard, list[SampleLabels]]


def xml_object(name: str, *corners: float, difficult: int = 0) -> str:
    sides = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    box = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{box}</bndbox></object>"


def import_all(format: str, source: Path, *, split: str | None = None, out: str = "out") -> Imported:
    folder = source.parent / f"{source.name}-{out}"
    return import_gold(format, source, folder, split=split), samples_of(folder)


def samples_of(folder: Path) -> list[SampleLabels]:
    return [sample.labels for sample in samples_in(folder)]


def boxes_of(sample: SampleLabels) -> list[tuple[str, tuple[float, ...]]]:
    return [(sample.phrases[box.phrase].text, box.box_xyxy) for box in sample.boxes]


def picture(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "green").save(path)


def pictures(folder: Path) -> None:
    for name in ("one.jpg", "two.jpg"):
        picture(folder / name)


def voc_files(folder: Path, name: str, objects: str, *, filename: str | None = None) -> None:
    picture(folder / "JPEGImages" / f"{name}.jpg")
    (folder / "Annotations").mkdir(exist_ok=True)
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    named = f"<filename>{f'{name}.jpg' if filename is None else filename}</filename>"
    (folder / "Annotations" / f"{name}.xml").write_text(f"<annotation>{named}{size}{objects}</annotation>")


def import_voc(folder: Path, objects: str) -> Imported:
    voc_files(folder, "one", objects)
    return import_all("voc", folder)


def odvg_grounding(caption: str, regions: list[Any]) -> dict[str, Any]:
    size = {"width": WIDTH, "height": HEIGHT}
    return {"filename": "one.jpg", **size, "grounding": {"caption": caption, "regions": regions}}


def odvg_detection(instances: list[Any]) -> dict[str, Any]:
    return {"filename": "one.jpg", "width": WIDTH, "height": HEIGHT, "detection": {"instances": instances}}


def import_odvg(folder: Path, lines: list[Any], *, end: str = "") -> Imported:
    pictures(folder / "images")
    (folder / "train.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + end)
    return import_all("odvg", folder)


def mdetr_image(number: int, caption: str) -> dict[str, Any]:
    return {"id": number, "file_name": "one.jpg", "width": WIDTH, "height": HEIGHT, "caption": caption}


def mdetr_box(number: int, image: int, bbox: list[float], tokens: list[list[int]]) -> dict[str, Any]:
    return {"id": number, "image_id": image, "category_id": 1, "bbox": bbox, "iscrowd": 0, "tokens_positive": tokens}


def import_mdetr(folder: Path, images: list[Any], boxes: list[Any]) -> Imported:
    pictures(folder / "images")
    categories = [{"supercategory": "object", "id": 1, "name": "object"}]
    document = {"images": images, "annotations": boxes, "categories": categories}
    (folder / "final_mixed_train.json").write_text(json.dumps(document))
    return import_all("mdetr", folder)


def flickr_object(entity: str, *corners: int) -> str:
    return xml_object(entity, *corners).replace("<difficult>0</difficult>", "")


def import_flickr(folder: Path, sentences: str, objects: str) -> Imported:
    picture(folder / "flickr30k-images" / "7.jpg")
    for name in ("Annotations", "Sentences"):
        (folder / name).mkdir()
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    annotation = f"<annotation><filename>7.jpg</filename>{size}{objects}</annotation>"
    (folder / "Annotations" / "7.xml").write_text(annotation)
    (folder / "Sentences" / "7.txt").write_text(sentences + "\n")
    return import_all("flickr30k", folder)


def refcoco_reference(annotation: int, split: str, sentences: list[str]) -> dict[str, Any]:
    said = [{"sent_id": 10 * annotation + row, "sent": sent, "raw": sent} for row, sent in enumerate(sentences)]
    return {"ref_id": 1, "ann_id": annotation, "image_id": 1, "split": split, "sentences": said}


def refcoco_files(folder: Path, references: list[Any]) -> None:
    pictures(folder / "images")
    names = {1: "one.jpg", 2: "two.jpg"}
    images = [{"id": image, "file_name": name, "width": WIDTH, "height": HEIGHT} for image, name in names.items()]
    boxes = [{"id": 10 + image, "image_id": image, "category_id": 1, "bbox": [1, 2, 3, 4]} for image in names]
    (folder / "instances.json").write_text(json.dumps({"images": images, "annotations": boxes, "categories": []}))
    (folder / "refs.json").write_text(json.dumps(references))


def import_yolo(folder: Path, lines: str, data: str) -> Imported:
    pictures(folder / "images")
    (folder / "labels").mkdir()
    (folder / "labels" / "one.txt").write_text(lines)
    (folder / "data.yaml").write_text(data)
    return import_all("yolo", folder)
