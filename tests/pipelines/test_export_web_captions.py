"""The formats of other people's web captions and tools: read back by our importers, or as their own readers read."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow.parquet as pq
import pytest
from exported_datasets import MADE
from sample_labels import labels_of
from stored_samples import samples_in

from engine.artifacts import Store
from engine.exporters.tsv_files import tsv_file
from engine.gold import import_gold
from engine.shards import LabelledImage, read_card, write_card, write_shard
from pipelines.export import export
from pipelines.verify import verify
from schemas.records import UnitRef
from schemas.shards import DatasetCard, SampleLabels

CAPTION = "two dogs\tnear <b>a hat</b>, קופסה and 🦝"
SPANS = [(0, 8), (17, 22), (28, 33)]
BOXES = [(0, (0.0, 0.0, 80.0, 64.0), 0.97), (0, (1.25, 2.5, 30.1, 40.0), 0.31), (2, (79.3, 10.0, 80.0, 63.99), 0.5)]


@pytest.fixture
def pseudo(tmp_path: Path, web: Any) -> Path:
    """Two samples with scores, the second under a key that no file may have."""
    samples = []
    for number, key in enumerate(("plain", 'a "quoted": key')):
        image = web.jpeg(number)
        digest = hashlib.sha256(image).hexdigest()
        locator = "https://example.org/a.jpg"
        labels = labels_of(CAPTION, SPANS, BOXES, key=key, size=(80, 64), image_sha256=digest, locator=locator, **MADE)
        samples.append(LabelledImage(labels, image, "jpg"))
    card = DatasetCard(
        origin="pseudo",
        task="grounding",
        source_fingerprint="s",
        **MADE,
        complete=True,
    )
    store = Store(tmp_path / "pseudo")
    write_shard(store, UnitRef(0, "web.tar", 0, 2), samples, [], work_digest="0" * 64, stages=[])
    write_card(store, card)
    return tmp_path / "pseudo"


def exported(dataset: Path, format: str) -> Path:
    out = dataset.parent / format
    export(dataset, out, format=format, selection="all", images=True, progress=False)
    return out


def boxes_of(labels: SampleLabels) -> list[tuple[str, int, tuple[float, ...], float]]:
    spans = labels.phrases
    return sorted((spans[b.phrase].text, spans[b.phrase].start, b.box_xyxy, b.score) for b in labels.boxes)


@pytest.mark.parametrize("format", ["grit", "glip-tsv"])
def test_scored_web_captions_come_back_with_their_scores(pseudo: Path, format: str) -> None:
    """Phrases without a box stay behind: these formats know phrases by their boxes alone."""
    import_gold(format, exported(pseudo, format), pseudo.parent / "back")
    card = read_card(Store(pseudo.parent / "back"))
    assert (card.origin, card.selection, card.rejects) == ("pseudo", "all", 0)
    before, after = samples_in(pseudo), samples_in(pseudo.parent / "back")
    assert [sample.image for sample in after] == [sample.image for sample in before]
    assert [boxes_of(sample.labels) for sample in after] == [boxes_of(sample.labels) for sample in before]
    assert verify(pseudo.parent / "back", progress=False).problems == []


def test_grit_has_the_columns_of_the_card(pseudo: Path) -> None:
    table = pq.read_table(exported(pseudo, "grit") / "grit.parquet")
    wanted = ["key", "clip_similarity_vitb32", "clip_similarity_vitl14", "id", "url", "caption", "width", "height"]
    assert table.column_names == [*wanted, "noun_chunks", "ref_exps", "file_name"]
    row = table.to_pylist()[0]
    assert row["url"] == "https://example.org/a.jpg"
    assert row["noun_chunks"][1] == pytest.approx([0, 8, 1.25 / 80, 2.5 / 64, 30.1 / 80, 40 / 64, 0.31])


def test_phrases_without_a_box_are_not_in_the_list_of_phrases_with_boxes(pseudo: Path) -> None:
    entries = json.loads((exported(pseudo, "coco-phrases") / "phrases.json").read_text())
    assert [[one["phrase"] for one in entry["phrases"]] for entry in entries] == [["two dogs", "קופסה"]] * 2


def test_every_row_is_in_grits_table_however_many_are_written_at_once(
    pseudo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["engine.exporters.grit"], "ROWS_AT_ONCE", 1)
    written = pq.ParquetFile(exported(pseudo, "grit") / "grit.parquet")
    assert written.read()["id"].to_pylist() == [0, 1]
    assert written.metadata.num_row_groups == 2, "none without rows, which some readers trip over"


def lines_by_index(folder: Path, name: str) -> list[list[str]]:
    """As GLIP's and GLIGEN's readers do: by the byte that the index says, in text mode."""
    starts = [int(line) for line in (folder / f"{name}.lineidx").read_text().splitlines()]
    found = []
    with (folder / f"{name}.tsv").open("r", encoding="ascii") as file:
        for start in starts:
            file.seek(start)
            found.append([part.strip() for part in file.readline().split("\t")])
    return found


def test_the_index_of_glips_tsv_leads_to_each_line(pseudo: Path) -> None:
    out = exported(pseudo, "glip-tsv")
    images = [sample.image for sample in samples_in(pseudo)]
    rows = {name: lines_by_index(out, name) for name in ("label", "hw", "img")}
    assert [len(row) for lines in rows.values() for row in lines] == [2] * 6
    assert [base64.b64decode(picture) for _, picture in rows["img"]] == images
    label = json.loads(rows["label"][0][1])
    assert label["caption"] == CAPTION
    assert [CAPTION[a:b] for [[a, b]] in label["tokens_positive"]] == ["two dogs", "two dogs", "קופסה"]
    assert json.loads(rows["hw"][1][1]) == [{"height": 64, "width": 80}]


def test_the_index_counts_bytes_and_not_characters(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with tsv_file(store, "label") as add:
        for key in ("Hündchen", "dog"):
            add(key, "{}")
    assert [int(line) for line in store.read("label.lineidx").split()] == [0, len("Hündchen\t{}\n".encode())]


def test_gligens_lines_have_what_its_readme_lists_but_for_embeddings(pseudo: Path) -> None:
    rows = lines_by_index(exported(pseudo, "gligen"), "gligen")
    items = [json.loads(value) for _, value in rows]
    assert [base64.b64decode(item["image"]) for item in items] == [sample.image for sample in samples_in(pseudo)]
    assert [key for key, _ in rows] == ["0", "1"]
    assert items[0]["annos"][1]["bbox"] == [1.25, 2.5, 28.85, 37.5]
    assert CAPTION[slice(*items[0]["annos"][2]["tokens_positive"][0])] == "קופסה"


def test_xvlm_takes_every_box(pseudo: Path) -> None:
    """What its reader asserts: whole pixels, an area, inside the picture; and the picture where the line says."""
    out = exported(pseudo, "xvlm")
    for line in (out / "xvlm.jsonl").read_text().splitlines():
        item = json.loads(line)
        assert (out / item["image"]).is_file()
        for elem, (_, (x1, y1, x2, y2), score) in zip(item["elems"], BOXES, strict=True):
            x, y, w, h = elem["bb"]
            assert all(isinstance(value, int) for value in elem["bb"])
            assert 0 <= x <= x1 < x2 <= x + w <= 80
            assert 0 <= y <= y1 < y2 <= y + h <= 64
            assert elem["score"] == score


def test_label_studios_tasks_name_their_pictures_and_boxes(pseudo: Path) -> None:
    out = exported(pseudo, "label-studio")
    tasks = json.loads((out / "tasks.json").read_text())
    for task, sample in zip(tasks, samples_in(pseudo), strict=True):
        [place] = parse_qs(urlsplit(task["data"]["image"]).query)["d"]
        assert (out / place).read_bytes() == sample.image
        assert task["data"]["caption"] == CAPTION
        [prediction] = task["predictions"]
        assert prediction["score"] == max(score for *_, score in BOXES)
        for result, (phrase, (x1, y1, x2, y2), score) in zip(prediction["result"], BOXES, strict=True):
            value = result["value"]
            assert [value["x"] * 0.8, value["y"] * 0.64] == pytest.approx([x1, y1])
            assert [value["width"] * 0.8, value["height"] * 0.64] == pytest.approx([x2 - x1, y2 - y1])
            assert value["rectanglelabels"] == [CAPTION[slice(*SPANS[phrase])]]
            assert value["rectanglelabels"][0] in [one["value"] for one in task["data"]["phrases"]]
            assert result["score"] == score


def test_the_public_converter_reads_label_studios_tasks(pseudo: Path) -> None:
    converter = pytest.importorskip("label_studio_sdk.converter", reason="label-studio-sdk is not installed")
    out = exported(pseudo, "label-studio")
    tasks = json.loads((out / "tasks.json").read_text())
    for number, task in enumerate(tasks):  # what Label Studio makes of predictions that a person submits
        task |= {"id": number, "annotations": [{**task.pop("predictions")[0], "id": number}]}
    (out / "submitted.json").write_text(json.dumps(tasks))
    converter.Converter((out / "config.xml").read_text(), project_dir=str(out), download_resources=False).convert(
        str(out / "submitted.json"), str(out / "coco"), "COCO", is_dir=False
    )
    document = json.loads((out / "coco" / "result.json").read_text())
    names = {one["id"]: one["name"] for one in document["categories"]}
    found = [(names[one["category_id"]], one["bbox"]) for one in document["annotations"] if one["image_id"] == 0]
    wanted = [(CAPTION[slice(*SPANS[p])], [x1, y1, x2 - x1, y2 - y1]) for p, (x1, y1, x2, y2), _ in BOXES]
    assert [name for name, _ in found] == [name for name, _ in wanted]
    assert [box for _, box in found] == [pytest.approx(box) for _, box in wanted]


def test_fiftyone_finds_each_picture_by_its_name(pseudo: Path) -> None:
    out = exported(pseudo, "fiftyone")
    document = json.loads((out / "labels.json").read_text())
    pictures = {path.stem: path.read_bytes() for path in (out / "data").iterdir()}
    assert [pictures[name] for name in document["labels"]] == [sample.image for sample in samples_in(pseudo)]
    for boxes in document["labels"].values():
        for found, (phrase, (x1, y1, x2, y2), score) in zip(boxes, BOXES, strict=True):
            assert found["bounding_box"] == pytest.approx([x1 / 80, y1 / 64, (x2 - x1) / 80, (y2 - y1) / 64])
            assert (found["confidence"], found["attributes"]["phrase"]) == (score, CAPTION[slice(*SPANS[phrase])])
            assert found["label"] == CAPTION[slice(*SPANS[phrase])].split()[-1]


def test_pictures_are_left_out_where_nobody_wants_them(pseudo: Path) -> None:
    for format in ("glip-tsv", "gligen"):
        out = pseudo.parent / f"{format}-alone"
        export(pseudo, out, format=format, selection="all", progress=False)
        assert not (out / "img.tsv").exists()
        assert "image" not in (out / f"{'label' if format == 'glip-tsv' else 'gligen'}.tsv").read_text().split('"')
