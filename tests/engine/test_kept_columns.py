"""``source.keep`` and ``carry`` in every source: rows are taken by its columns, others are rejects that name one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_outcomes import outcomes, read_units, reasons, told

from engine.sources import open_source
from schemas.recipes import CocoSource, FolderSource, ParquetSource, UrlsSource, WebDatasetSource
from schemas.records import Reject

ROWS = [{"similarity": 0.35, "LANGUAGE": "en"}, {"similarity": 0.2, "LANGUAGE": "en"}, {"similarity": None}]
KEEP = {"similarity": {"min": 0.3}, "LANGUAGE": {"one_of": ["en"], "missing": "keep"}}
EXPECTED = ["ok", "column_similarity_below_min", "column_similarity_missing"]
LISTS = ("tsv", "csv", "jsonl", "parquet")


def write_list(path: Path, urls: list[str]) -> Path:
    rows = [{"url": url, "caption": "a dog", **row} for url, row in zip(urls, ROWS, strict=True)]
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        names = ["url", "caption", "similarity", "LANGUAGE"]
        lines = [names, *([str(row.get(name) or "") for name in names] for row in rows)]
        separator = {".csv": ",", ".tsv": "\t"}[path.suffix]
        path.write_text("".join(separator.join(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize("ending", LISTS)
def test_of_a_list_only_what_is_kept_is_asked_for(bad_server: Any, tmp_path: Path, ending: str) -> None:
    targets = [f"/picture/{number}" for number in range(3)]
    path = write_list(tmp_path / f"list.{ending}", [bad_server.url(target) for target in targets])
    found = outcomes(path, keep=KEEP)
    assert reasons(found) == EXPECTED
    assert {target: bad_server.asked[target] for target in targets} == {targets[0]: 1, targets[1]: 0, targets[2]: 0}
    assert isinstance(found[1], Reject)
    assert found[1].message == (f"list.{ending}#1: column 'similarity' is '0.2', at least 0.3 is wanted (source.keep)")


def test_columns_of_a_tsv_without_names_go_by_number(bad_server: Any, tmp_path: Path) -> None:
    path = tmp_path / "list.tsv"
    path.write_text("".join(f"a dog\t{bad_server.url('/picture/1')}\t{score}\n" for score in (0.4, 0.1)))
    assert reasons(outcomes(path, keep={"2": {"min": 0.3}})) == ["ok", "column_2_below_min"]


def test_pictures_of_rows_that_are_not_kept_are_not_opened(web: Any, tmp_path: Path) -> None:
    (tmp_path / "0.jpg").write_bytes(web.jpeg())
    rows = [{"image_path": f"{number}.jpg", "caption": "a dog", **row} for number, row in enumerate(ROWS)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    source = open_source(ParquetSource.model_validate({"uri": str(tmp_path), "keep": KEEP}))
    assert reasons(read_units(source, 2)) == EXPECTED


@pytest.mark.parametrize("captions", ["txt", "json"])
def test_the_columns_of_tars_are_the_fields_of_their_json(web: Any, tmp_path: Path, captions: str) -> None:
    members = []
    for number, row in enumerate([*ROWS, "no object", b'{"similarity": ']):
        fields = {**row, "caption": "a dog"} if isinstance(row, dict) else row
        content = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
        members += [(f"{number}.jpg", web.jpeg()), (f"{number}.json", content)]
        members += [(f"{number}.txt", b"a dog")] if captions == "txt" else []
    members += [("9.jpg", web.jpeg()), ("9.txt", b"a dog")]
    path = web.tar_of(tmp_path / "0.tar", members)
    source = open_source(WebDatasetSource.model_validate({"uri": str(path), "keep": KEEP}))
    expected = [*EXPECTED, "column_similarity_missing", "columns_unreadable", "column_similarity_missing"]
    assert reasons(read_units(source, 4)) == expected


@pytest.mark.parametrize("captions", ["each", "joined"])
def test_the_columns_of_coco_are_fields_of_images_and_of_captions(web: Any, tmp_path: Path, captions: str) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.jpg").write_bytes(web.jpeg(number))
    images = [{"id": number, "file_name": f"{number}.jpg", "width": 100 * number} for number in (1, 2)]
    annotations = [{"id": number, "image_id": number, "caption": "A dog."} for number in (1, 2)]
    annotations.append({"id": 3, "image_id": 2, "caption": "A cat.", "rating": 1})
    (tmp_path / "c.json").write_text(json.dumps({"images": images, "annotations": annotations}))

    def read(keep: dict[str, Any]) -> list[tuple[str, str]]:
        fields = {"uri": str(tmp_path / "c.json"), "images": str(tmp_path), "captions": captions, "keep": keep}
        return told(read_units(open_source(CocoSource.model_validate(fields)), 10))

    if captions == "joined":
        assert read({"width": {"min": 150}}) == [("000000001", "column_width_below_min"), ("000000002", "ok")]
        with pytest.raises(ValueError, match="no column 'rating'"):
            read({"rating": {"min": 2}})
    else:
        rated = read({"width": {"min": 150}, "rating": {"min": 2, "missing": "keep"}})
        assert rated == [
            ("000000001-1", "column_width_below_min"),
            ("000000002-2", "ok"),
            ("000000002-3", "column_rating_below_min"),
        ]


# --------------------------------------------------------------------------------------------------------- carrying

CELLS = {"similarity": 0.25, "pwatermark": "0.1", "nsfw": True, "id": 10**17, "none": None, "half": "\ud800"}
CARRIED = {"similarity": 0.25, "pwatermark": "0.1", "nsfw": True, "id": 10**17}


def carried(recipe: Any, **fields: Any) -> list[Any]:
    source = open_source(recipe.model_validate({**fields, "carry": ["similarity", *CELLS]}))
    found = read_units(source, 10)
    assert reasons(found) == ["ok"] * len(found)
    return [one.columns for one in found]


def test_cells_that_are_asked_for_go_with_a_sample_of_any_source(web: Any, bad_server: Any, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(web.jpeg())
    row = {"url": bad_server.url("/picture/1"), "caption": "a dog", **CELLS}
    (tmp_path / "x.jsonl").write_text(json.dumps(row) + "\n")
    assert carried(UrlsSource, uri=f"{tmp_path}/x.jsonl", allow_private=True) == [CARRIED]
    pq.write_table(
        pa.Table.from_pylist([{"image": web.jpeg(), **row, "half": ""}, {"image": web.jpeg(), "caption": "a cat"}]),
        tmp_path / "x.parquet",
    )
    assert carried(ParquetSource, uri=f"{tmp_path}/x.parquet") == [{**CARRIED, "half": ""}, None]
    web.tar_of(tmp_path / "x.tar", [("0.jpg", web.jpeg()), ("0.json", json.dumps(row).encode())])
    assert carried(WebDatasetSource, uri=f"{tmp_path}/x.tar") == [CARRIED]
    coco = {"images": [{"file_name": "1.jpg", **CELLS, "id": 1}]}
    coco["annotations"] = [{"id": 10**17, "image_id": 1, "caption": "a dog", "file_name": "../x"}]
    (tmp_path / "c.json").write_text(json.dumps(coco))
    assert carried(CocoSource, uri=f"{tmp_path}/c.json", images=str(tmp_path)) == [CARRIED]


def test_nothing_is_carried_unasked(web: Any, tmp_path: Path) -> None:
    table = pa.table({"image": [web.jpeg()], "caption": ["a dog"], "similarity": [0.4]})
    pq.write_table(table, tmp_path / "a.parquet")
    (one,) = read_units(open_source(ParquetSource(uri=str(tmp_path))), 10)
    assert one.columns is None


# ---------------------------------------------------------------------------------------------------- what is not there


def sources_without_the_column(web: Any, folder: Path) -> dict[str, Any]:
    """A source of each kind that has ``similarity``, by its name in a test."""
    fields = {"caption": "a dog", "similarity": 0.4}
    for ending in LISTS:
        write_list(folder / f"list.{ending}", ["http://a/1", "http://a/2", "http://a/3"])
    table = pa.table({"image": [web.jpeg()], **{name: [value] for name, value in fields.items()}})
    (folder / "pictures").mkdir()
    pq.write_table(table, folder / "pictures/0.parquet")
    web.tar_of(folder / "0.tar", [("0.jpg", web.jpeg()), ("0.json", json.dumps(fields).encode())])
    coco = {"images": [{"id": 1, "file_name": "1.jpg", "similarity": 0.4}], "annotations": []}
    (folder / "c.json").write_text(json.dumps(coco))
    return {
        **{ending: (UrlsSource, {"uri": f"{folder}/list.{ending}"}) for ending in LISTS},
        "pictures": (ParquetSource, {"uri": f"{folder}/pictures"}),
        "tar": (WebDatasetSource, {"uri": f"{folder}/0.tar"}),
        "coco": (CocoSource, {"uri": f"{folder}/c.json", "images": str(folder)}),
        "folder": (FolderSource, {"uri": str(folder), "captions": f"{folder}/list.csv", "image_column": "url"}),
    }


@pytest.mark.parametrize("kind", [*LISTS, "pictures", "tar", "coco", "folder"])
def test_a_column_that_is_not_there_is_an_error_with_the_one_that_is_meant(web: Any, tmp_path: Path, kind: str) -> None:
    recipe, fields = sources_without_the_column(web, tmp_path)[kind]
    with pytest.raises(
        ValueError, match=r"source\.keep: .* has no column 'Similarty'; did you mean 'similarity'\? it has "
    ) as caught:
        open_source(recipe.model_validate({**fields, "keep": {"Similarty": {"min": 0.3}}}))
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"source\.carry: .* has no column 'similar'; did you mean 'similarity'\?"):
        open_source(recipe.model_validate({**fields, "carry": ["similar"]}))
    open_source(recipe.model_validate({**fields, "keep": {"similarity": {"min": 0.3}}, "carry": ["similarity"]}))


def test_a_field_that_the_first_line_of_a_jsonl_lacks_is_there(tmp_path: Path) -> None:
    rows = [{"url": "ftp://a/1", "caption": "a"}, {"url": "ftp://a/2", "caption": "b", "punsafe": 0.9}]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = outcomes(tmp_path / "x.jsonl", keep={"punsafe": {"max": 0.5, "missing": "keep"}})
    assert reasons(found) == ["url_invalid", "column_punsafe_above_max"]


def test_the_last_names_of_a_tsv_are_there_though_its_first_row_ends_before(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text("url\tcaption\tpunsafe\nftp://a/1\ta\nftp://a/2\tb\t0.9\n")
    found = outcomes(tmp_path / "x.tsv", keep={"punsafe": {"max": 0.5}})
    assert reasons(found) == ["column_punsafe_missing", "column_punsafe_above_max"]
