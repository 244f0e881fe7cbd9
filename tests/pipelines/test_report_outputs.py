"""What stands beside the page: ``report.json`` and its schema, ``report.md``, the tables, and the command's options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.parquet as pq
import pytest
from counted_datasets import CARD, PHRASES, Counted, counted_dataset
from report_datasets import dog, sample, write_dataset

from pipelines.cli import main
from pipelines.pages.gallery import Gallery
from pipelines.pages.report_markdown import figure, text
from pipelines.pages.report_page import render
from pipelines.report import report
from schemas.report_document import Report, report_schema

HUMAN = CARD.model_copy(update={"origin": "human", "teacher_digest": None})


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Counted:
    return counted_dataset(tmp_path_factory.mktemp("counted") / "<b>web")


@pytest.fixture(scope="module")
def written(counted: Counted, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    """A report of two datasets, compared, with a human one beside them."""
    folder = tmp_path_factory.mktemp("written")
    other = counted_dataset(folder / "other", seed=2)
    human = counted_dataset(folder / "people", units=2, images=2, card=HUMAN)
    report(
        [],
        folder / "out",
        compared=(counted.folder, other.folder),
        human=[human.folder],
        price_per_hour=2,
        selection="all",
    )
    return folder / "out", Report.model_validate_json((folder / "out/report.json").read_text())


def test_the_document_is_of_the_schema_that_is_published(written: tuple[Path, Report]) -> None:
    published = (Path(__file__).parents[2] / "docs/report.schema.json").read_text()
    # Write it anew: python -c "from schemas.report_document import *; print(report_schema(), end='')" > FILE
    assert published == report_schema(), "a model in report.json has changed"
    jsonschema.validate(json.loads((written[0] / "report.json").read_text()), json.loads(published))


def test_a_report_that_dies_leaves_no_page_of_an_earlier_one_beside_new_tables(
    counted: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report([counted.folder], tmp_path / "out")

    class DiesError(BaseException):
        """What no code of ours catches: the process is gone."""

    def die(*_: object) -> None:
        raise DiesError

    monkeypatch.setattr("pipelines.report.render", die)
    with pytest.raises(DiesError):
        report([counted.folder], tmp_path / "out")
    assert (tmp_path / "out/report.json").is_file()
    assert not (tmp_path / "out/index.html").exists()


def test_the_document_holds_both_datasets_and_their_comparison(written: tuple[Path, Report]) -> None:
    _, whole = written
    assert [one.dataset for one in whole.datasets] == ["<b>web", "other"]
    assert whole.comparison is not None
    assert (whole.comparison.before, whole.comparison.after) == ("<b>web", "other")
    assert whole.datasets[0].novelty is not None
    assert whole.datasets[0].novelty.human_datasets == ["people"]
    assert whole.datasets[0].number("cost") is not None


def test_the_tables_hold_what_the_document_says(written: tuple[Path, Report], counted: Counted) -> None:
    folder, whole = written
    tables = {path.stem: pq.read_table(path) for path in (folder / "tables/0").iterdir()}
    assert tables.keys() == {"numbers", "histograms", "phrases", "head_lemmas", "units", "rejects"}
    first = whole.datasets[0]
    values = dict(zip(tables["numbers"]["name"].to_pylist(), tables["numbers"]["value"].to_pylist(), strict=True))
    assert values == {one.name: one.value for one in first.numbers}
    assert tables["phrases"].num_rows == first.number("unique_phrases")
    assert tables["phrases"]["phrase"].to_pylist()[:30] == [one.text for one in first.head_phrases]
    assert tables["units"].num_rows == len(counted.manifests)
    assert sum(tables["rejects"]["count"].to_pylist()) == sum(map(len, counted.rejects))
    assert (folder / "tables/1/numbers.parquet").exists()


def test_the_markdown_shows_text_as_text(written: tuple[Path, Report]) -> None:
    shown = (written[0] / "report.md").read_text()
    assert "<script>" not in shown
    assert "<b>web" not in shown
    assert "&lt;b&gt;web" in shown
    rows = [line for line in shown.splitlines() if "alert" in line]
    assert rows
    assert all("\\(1\\)" in row for row in rows)
    assert "\x00" not in shown
    assert "| Jensen" not in shown.split("### Drift")[0]


@pytest.mark.parametrize(
    "phrase", [phrase for phrase, _ in PHRASES] + ["a | b", "line\nbreak", "\u202eesrever", "[x](y)"]
)
def test_no_phrase_leaves_its_cell(phrase: str) -> None:
    shown = text(phrase)
    assert len(shown.splitlines()) == 1
    assert shown.replace("\\|", "").count("|") == 0
    assert "\u202e" not in shown


def test_figures_have_as_many_digits_as_help() -> None:
    assert [figure(value) for value in (None, 3.0, 1234567.8, 0.123456, 0.0)] == ["–", "3", "1,234,568", "0.1235", "0"]


def test_equal_data_give_equal_bytes(counted: Counted, tmp_path: Path) -> None:
    for name in "ab":
        report([counted.folder], tmp_path / name, selection="grit")
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*")]
    assert len(files) == 9
    assert [
        name for name in files if (tmp_path / "a" / name).read_bytes() != (tmp_path / "b" / name).read_bytes()
    ] == []


def test_the_command_compares_and_tells_where_the_page_is(counted: Counted, tmp_path: Path, capsys: Any) -> None:
    folder = str(counted.folder)
    options = ["--compare", folder, folder, "--human", folder, "--price-per-hour", "1.5", "--selection", "all"]
    assert main(["report", "--out", str(tmp_path / "out"), *options, "--json"]) == 0
    assert Path(json.loads(capsys.readouterr().out)["page"]).exists()
    whole = Report.model_validate_json((tmp_path / "out/report.json").read_text())
    assert len(whole.datasets) == 1, "the same one twice is shown once"
    assert whole.comparison is not None
    assert {one.jensen_shannon for one in whole.comparison.drifts} == {0.0}
    page = (tmp_path / "out/index.html").read_text()
    assert "What differs: nothing in source, recipe and teacher." in page
    assert "Languages <small>by captions" in page


def test_a_gallery_is_called_a_sample_only_where_it_leaves_pictures_with_a_box_out(tmp_path: Path) -> None:
    low = sample("low", "a dog", [(0, 5)], [(0, (1, 1, 9, 9), 0.1)])
    dataset = write_dataset(tmp_path / "dogs", [low, dog(1), dog(2)])
    whole = Path(report([dataset], tmp_path / "whole")).read_text()
    assert "All 2 pictures with a box, of 3 that are stored." in whole
    assert "taken at even spaces" not in whole
    assert "1 of 3 pictures, taken at even spaces" in Path(report([dataset], tmp_path / "1", pictures=1)).read_text()


def test_class_prompts_of_detection_data_have_no_language(written: tuple[Path, Report]) -> None:
    detection = [one.model_copy(update={"task": "detection"}) for one in written[1].datasets]
    page = render(written[1].model_copy(update={"datasets": detection}), [_no_pictures()] * len(detection), "classes")
    assert "Languages <small>by captions" not in page
    assert "Image sizes" in page


def _no_pictures() -> Gallery:
    return Gallery((), samples=0, units_read=0, units=0, seed=0)


def test_a_report_of_nothing_is_refused(tmp_path: Path, capsys: Any) -> None:
    assert main(["report", "--out", str(tmp_path / "out")]) == 2
    assert "at least one dataset" in capsys.readouterr().err


def test_a_report_is_written_where_a_dataset_is_damaged(tmp_path: Path, capsys: Any) -> None:
    damaged = counted_dataset(tmp_path / "web")
    (damaged.folder / "shards/000001.tar").unlink()
    (damaged.folder / "annotations/000002.parquet").write_bytes(b"half")
    assert main(["report", str(damaged.folder), "--out", str(tmp_path / "out")]) == 0
    assert "web: 1 of 4 units are not whole" in capsys.readouterr().out
    [found] = Report.model_validate_json((tmp_path / "out/report.json").read_text()).datasets
    assert (found.whole.units_found, found.whole.units_counted) == (4, 3)
    assert "not whole" in (tmp_path / "out/report.md").read_text()


def test_a_report_comes_from_and_goes_to_an_object_store(counted: Counted, s3_bucket: str, tmp_path: Path) -> None:
    import s3fs

    store = s3fs.S3FileSystem()
    store.put(str(counted.folder), f"{s3_bucket}/web", recursive=True)
    page = report([f"{s3_bucket}/web"], f"{s3_bucket}/report", selection="grit")
    assert page == f"{s3_bucket}/report/index.html"
    names = {Path(name).name for name in store.find(f"{s3_bucket}/report")}
    assert {"index.html", "report.json", "report.md", "phrases.parquet"} <= names
    distant = Report.model_validate_json(store.cat_file(f"{s3_bucket}/report/report.json"))
    report([counted.folder], tmp_path / "out", selection="grit")
    local = Report.model_validate_json((tmp_path / "out/report.json").read_text())
    assert distant.datasets[0].numbers == local.datasets[0].numbers
