"""GRIT and GLIP's caption TSV as other people wrote them, whole and broken."""

from __future__ import annotations

import base64
import codecs
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gold_files import Imported, boxes_of, import_all, picture

from engine.gold.grit import GritCaptions
from engine.gold.sources import GoldPlace
from engine.gold.tsv_files import TsvLines

CAPTION = "a man on a motor bike"
GOOD = {"bboxes": [[5, 5, 50, 60]], "scores": [0.75], "tokens_positive": [[[9, 10], [11, 16], [17, 21]]]}


def import_grit(folder: Path, chunks: list[Any], **other: Any) -> Imported:
    """A row as the dataset card shows them: no name of a file, and columns that we do not read."""
    row = {"key": "one", "caption": CAPTION, "width": 100, "height": 80, "noun_chunks": chunks, "ref_exps": [], **other}
    (folder / "grit").mkdir()
    pq.write_table(pa.Table.from_pylist([row]), folder / "grit" / "part.parquet")
    picture(folder / "grit" / "images" / "one.jpg")
    return import_all("grit", folder / "grit")


def import_tsv(folder: Path, *labels: Any, yaml: str | None = None, **sizes: int) -> Imported:
    source = folder / "tsv"
    picture(folder / "one.jpg")
    source.mkdir()
    base = {"img_w": 100, "img_h": 80, "caption": CAPTION, **sizes}
    texts = [one if isinstance(one, str) else json.dumps(base | one) for one in labels]
    (source / "label.tsv").write_text("".join(f"k{n}\t{text}\n" for n, text in enumerate(texts)))
    content = base64.b64encode((folder / "one.jpg").read_bytes()).decode()
    (source / "img.tsv").write_text("".join(f"k{n}\t{content}\n" for n in range(len(texts))))
    if yaml is not None:
        (source / "all.yaml").write_text(yaml)
    return import_all("glip-tsv", source)


def test_a_noun_chunk_is_a_span_a_box_in_shares_and_a_score(tmp_path: Path) -> None:
    card, [sample] = import_grit(tmp_path, [[0, 5, 0.1, 0.25, 0.5, 1.0, 0.66], [9, 21, 0, 0, 1, 1, 0.9]])
    assert boxes_of(sample) == [("a man", (10, 20, 50, 80)), ("a motor bike", (0, 0, 100, 80))]
    assert [box.score for box in sample.boxes] == [0.66, 0.9]
    assert (card.origin, sample.teacher_digest) == ("pseudo", None)


@pytest.mark.parametrize(
    ("chunk", "reason"),
    [
        ([0, 5, 0.1, 0.1, 0.5, 0.5], "annotation_malformed"),
        ([0.5, 5, 0.1, 0.1, 0.5, 0.5, 0.9], "annotation_malformed"),
        ([0, 500, 0.1, 0.1, 0.5, 0.5, 0.9], "annotation_malformed"),
        ([float("nan"), 5, 0.1, 0.1, 0.5, 0.5, 0.9], "annotation_malformed"),
        ([0, 5, 0.1, float("nan"), 0.5, 0.5, 0.9], "box_not_finite"),
        ([0, 5, 0.5, 0.1, 0.5, 0.5, 0.9], "box_without_area"),
        ([0, 5, 0.1, 0.1, 0.5, 0.5, 1.5], "score_out_of_range"),
        ([0, 5, 0.1, 0.1, 0.5, 0.5, float("nan")], "score_out_of_range"),
    ],
)
def test_a_noun_chunk_that_is_none_is_a_counted_reject(tmp_path: Path, chunk: list[float], reason: str) -> None:
    card, [sample] = import_grit(tmp_path, [chunk, [0, 5, 0.1, 0.1, 0.5, 0.5, 0.9]])
    assert len(sample.boxes) == 1
    assert card.stages[1].dropped == {reason: 1}


def test_a_score_is_kept_as_the_tables_of_boxes_are_read(tmp_path: Path) -> None:
    """0.5000004 is no score above 0.5 to a selection, whether it looks at the sample or at the columns."""
    _, [sample] = import_grit(tmp_path, [[0, 5, 0.1, 0.25, 0.5, 1.0, 0.5000004], [9, 21, 0, 0, 1, 1, 2 / 3]])
    assert [box.score for box in sample.boxes] == [0.5, 0.666667]


def test_a_name_of_a_picture_leads_nowhere_else(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="image_outside_folder"):
        import_grit(tmp_path, [[0, 5, 0.1, 0.1, 0.5, 0.5, 0.9]], file_name="../../../etc/passwd.jpg")


def test_pictures_of_grit_are_found_in_the_folders_that_img2dataset_makes(tmp_path: Path) -> None:
    columns = {"caption": ["a cat"], "width": [100], "height": [80], "noun_chunks": [[[0, 5, 0, 0, 1, 1, 0.5]]]}
    for shard, key in (("00000", "000000001"), ("00001", "000010001")):
        picture(tmp_path / shard / f"{key}.jpg")
        pq.write_table(pa.table({"key": [key], **columns}), tmp_path / f"{shard}.parquet")
    _, samples = import_all("grit", tmp_path)
    assert [one.key for one in samples] == ["000000001", "000010001"]


def grit_rows(folder: Path, captions: pa.Array, rows_in_group: int) -> Path:
    """A file of rows with one chunk each, ``k0``, ``k1`` and so on, and the picture of each."""
    count = len(captions)
    numbers = {"key": [f"k{n}" for n in range(count)], "width": [100] * count, "height": [80] * count}
    chunks = [[[0.0, 5.0, 0.1, 0.1, 0.5, 0.5, 0.9]]] * count
    (folder / "grit").mkdir()
    table = pa.table({**numbers, "caption": captions, "noun_chunks": chunks})
    pq.write_table(table, folder / "grit" / "part.parquet", row_group_size=rows_in_group)
    for key in numbers["key"]:
        picture(folder / "grit" / "images" / f"{key}.jpg")
    return folder / "grit"


def test_rows_are_the_same_in_any_row_groups_and_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.gold.grit.ROWS_AT_ONCE", 3)
    captions = [f"a man of number {n}" for n in range(17)]
    for rows_in_group in (1, 5, 100):
        (tmp_path / str(rows_in_group)).mkdir()
        _, samples = import_all("grit", grit_rows(tmp_path / str(rows_in_group), pa.array(captions), rows_in_group))
        assert [(one.key, one.caption) for one in samples] == [(f"k{n}", text) for n, text in enumerate(captions)]


def test_a_row_group_is_never_in_memory_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.gold.grit.ROWS_AT_ONCE", 10)
    reader = GritCaptions(GoldPlace(grit_rows(tmp_path, pa.array([CAPTION] * 50), 50)))
    for row in (0, 49, 5, 25):
        assert (reader.read(row, "").rejects, len(reader._rows)) == ((), 10)


def test_a_caption_that_is_no_text_is_a_reject_of_its_row_alone(tmp_path: Path) -> None:
    captions = pa.array([b"a man here", b"a man \xff\xfe", b"a man there"]).view(pa.string())
    card, samples = import_all("grit", grit_rows(tmp_path, captions, 3))
    assert ([one.key for one in samples], card.stages[0].dropped) == (["k0", "k2"], {"line_malformed": 1})


def test_a_damaged_file_of_grit_is_named(tmp_path: Path) -> None:
    source = grit_rows(tmp_path, pa.array([f"{CAPTION} {n}" for n in range(3)]), 3)
    content = bytearray((source / "part.parquet").read_bytes())
    content[4:60] = bytes(56)
    (source / "part.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=r"part\.parquet cannot be decoded: "):
        import_all("grit", source)


def test_a_table_of_something_else_is_no_grit(tmp_path: Path) -> None:
    (tmp_path / "grit").mkdir()
    pq.write_table(pa.table({"key": ["a"]}), tmp_path / "grit" / "x.parquet")
    with pytest.raises(ValueError, match="no column caption, height, noun_chunks, width"):
        import_all("grit", tmp_path / "grit")
    (tmp_path / "grit" / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="not a Parquet file"):
        import_all("grit", tmp_path / "grit", out="again")


def test_word_pieces_of_glips_tsv_are_one_phrase(tmp_path: Path) -> None:
    _, [sample] = import_tsv(tmp_path, GOOD)
    assert boxes_of(sample) == [("a motor bike", (5, 5, 50, 60))]
    assert sample.boxes[0].score == 0.75


def test_lists_of_boxes_of_a_phrase_are_the_second_version(tmp_path: Path) -> None:
    second = {
        "bboxes": [[[5, 5, 50, 60], [1, 1, 9, 9]], [[2, 2, 8, 8]]],
        "scores": [[0.75, 0.5], [0.25]],
        "tokens_positive": [[[9, 21]], [[0, 5]]],
    }
    _, [sample] = import_tsv(tmp_path, second)
    assert [(text, box) for text, box in boxes_of(sample)] == [
        ("a man", (2, 2, 8, 8)),
        ("a motor bike", (5, 5, 50, 60)),
        ("a motor bike", (1, 1, 9, 9)),
    ]
    assert [box.score for box in sample.boxes] == [0.25, 0.75, 0.5]


@pytest.mark.parametrize(
    ("broken", "stage", "reason"),
    [
        ("no json", 0, "line_malformed"),
        (GOOD | {"scores": []}, 0, "no_phrase"),
        (GOOD | {"scores": [[0.5, 0.5]]}, 0, "no_phrase"),
        (GOOD | {"img_w": 90}, 0, "image_size_mismatch"),
        (GOOD | {"tokens_positive": [[[0, 900]]]}, 0, "no_phrase"),
    ],
)
def test_a_line_of_glips_tsv_that_is_none_is_a_counted_reject(
    tmp_path: Path, broken: Any, stage: int, reason: str
) -> None:
    card, samples = import_tsv(tmp_path, GOOD, broken)
    assert [sample.key for sample in samples] == ["k0"]
    assert card.stages[stage].dropped == {reason: 1}


@pytest.mark.parametrize(("ending", "reason"), [("tif", "image_format_unknown"), ("html", "image_unreadable")])
def test_what_is_no_picture_of_a_dataset_in_an_img_tsv_is_a_counted_reject(
    tmp_path: Path, ending: str, reason: str
) -> None:
    (tmp_path / "bad.html").write_text("<!DOCTYPE html>")
    picture(tmp_path / "bad.tif")
    import_tsv(tmp_path, GOOD, GOOD)
    img = tmp_path / "tsv" / "img.tsv"
    content = base64.b64encode((tmp_path / f"bad.{ending}").read_bytes()).decode()
    img.write_text(f"{img.read_text().splitlines()[0]}\nk1\t{content}\n")
    card, samples = import_all("glip-tsv", img.parent, out="again")
    assert [sample.key for sample in samples] == ["k0"]
    assert card.stages[0].dropped == {reason: 1}


def test_a_mark_of_utf_8_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    import_tsv(tmp_path, GOOD, GOOD)
    file = tmp_path / "tsv" / "label.tsv"
    file.write_bytes(codecs.BOM_UTF8 + file.read_bytes().replace(b"\n", b"\r\n"))
    card, samples = import_all("glip-tsv", tmp_path / "tsv", out="again")
    assert ([one.key for one in samples], card.rejects) == (["k0", "k1"], 0)


def test_a_value_is_read_up_to_a_length_and_not_cut_to_it(tmp_path: Path) -> None:
    (tmp_path / "img.tsv").write_bytes(b"key\tabc\n")
    lines = TsvLines(tmp_path / "img.tsv")
    assert list(lines.keys()) == ["key"]
    assert [lines.value(0, most) for most in (3, 2)] == [b"abc", None]


def test_a_yaml_names_files_beside_it_alone(tmp_path: Path) -> None:
    _, samples = import_tsv(tmp_path, GOOD, yaml="label: label.tsv\nimg: img.tsv\n")
    assert len(samples) == 1
    (tmp_path / "tsv" / "all.yaml").write_text("label: ../../secret.tsv\n")
    with pytest.raises(ValueError, match="not beside it"):
        import_all("glip-tsv", tmp_path / "tsv", out="again")
    for content in ("label: 2001-99-99\n", "[" * 5000):
        (tmp_path / "tsv" / "all.yaml").write_text(content)
        with pytest.raises(ValueError, match=r"all\.yaml is not YAML"):
            import_all("glip-tsv", tmp_path / "tsv", out="again")
