"""Human annotations in any format: what is refused, and what every reader keeps to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gold_files import (
    import_all,
    import_mdetr,
    import_odvg,
    mdetr_box,
    mdetr_image,
    odvg_grounding,
    pictures,
    voc_files,
    xml_object,
)

from engine.gold import FORMATS, READERS, import_gold
from schemas.recipes import GOLD_FILES


def test_the_command_line_and_recipes_know_every_format() -> None:
    assert tuple(READERS) == GOLD_FILES
    assert (*GOLD_FILES, "scenes") == FORMATS


@pytest.mark.parametrize("format", ["odvg", "mdetr", "coco-phrases"])
def test_a_caption_that_is_no_text_is_a_counted_reject(tmp_path: Path, format: str) -> None:
    """Half a surrogate pair: JSON can say it, UTF-8 cannot."""
    good, bad = "a dog", "a dog \ud83d"
    if format == "odvg":
        region = {"bbox": [5, 5, 9, 9], "phrase": "a dog", "tokens_positive": [[0, 5]]}
        card, samples = import_odvg(tmp_path, [odvg_grounding(bad, [region]), odvg_grounding(good, [region])])
    elif format == "mdetr":
        boxes = [mdetr_box(1, 1, [1, 2, 3, 4], [[0, 5]]), mdetr_box(2, 2, [1, 2, 3, 4], [[0, 5]])]
        card, samples = import_mdetr(tmp_path, [mdetr_image(1, bad), mdetr_image(2, good)], boxes)
    else:
        captions = [{"id": row, "image_id": 1, "caption": text} for row, text in enumerate((bad, good))]
        spans = [{"phrase": "a dog", "start": 0, "end": 5, "boxes_xywh": [[1, 2, 3, 4]]}]
        document = {"images": [mdetr_image(1, "")], "annotations": captions}
        (tmp_path / "captions.json").write_text(json.dumps(document))
        (tmp_path / "phrases.json").write_text(json.dumps([{"caption_id": n, "phrases": spans} for n in (0, 1)]))
        pictures(tmp_path / "images")
        card, samples = import_all(format, tmp_path)
    assert [sample.caption for sample in samples] == [good]
    assert sum(card.stages[0].dropped.values()) == 1


@pytest.mark.parametrize("format", GOLD_FILES)
def test_an_empty_folder_is_refused_in_one_line(tmp_path: Path, format: str) -> None:
    (tmp_path / "source").mkdir()
    for source in (tmp_path / "source", tmp_path / "gone"):
        with pytest.raises(ValueError, match=r"source|gone") as error:
            import_gold(format, source, tmp_path / "out")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("format", "file"),
    [
        ("coco", "instances.json"),
        ("lvis", "lvis.json"),
        ("mdetr", "mdetr.json"),
        ("odvg", "o.jsonl"),
        ("refcoco", "refs.json"),
    ],
)
@pytest.mark.parametrize("content", [b"\xff\xfe", b"[1", b"null", b'{"images": 7}'])
def test_a_file_of_another_kind_is_refused_in_one_line(tmp_path: Path, format: str, file: str, content: bytes) -> None:
    (tmp_path / file).write_bytes(content)
    (tmp_path / "instances.json").write_bytes(content)
    with pytest.raises(ValueError) as error:
        import_gold(format, tmp_path, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("format", ["coco", "lvis", "odvg", "mdetr", "coco-phrases"])
def test_a_split_is_refused_where_the_format_knows_none(tmp_path: Path, format: str) -> None:
    with pytest.raises(ValueError, match="has a file for each split"):
        import_gold(format, tmp_path, tmp_path / "out", split="train")


def test_images_may_lie_elsewhere(tmp_path: Path) -> None:
    voc_files(tmp_path / "source", "one", xml_object("dog", 1, 1, 5, 5))
    (tmp_path / "source" / "JPEGImages").rename(tmp_path / "pictures")
    card = import_gold("voc", tmp_path / "source", tmp_path / "out", images=tmp_path / "pictures")
    assert card.samples == 1
    with pytest.raises(ValueError, match="is not a folder"):
        import_gold("voc", tmp_path / "source", tmp_path / "out", images=tmp_path / "nowhere")
