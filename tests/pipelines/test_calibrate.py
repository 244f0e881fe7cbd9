"""``calibrate``: the document of the shipped teacher on drawn scenes, and everything that reads it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from verdict_samples import said

from engine.artifacts import Store
from engine.gold import import_gold
from engine.mix import Mix
from engine.review.verdicts import append_verdicts
from engine.shards import read_card, read_labels
from engine.statistics import dataset_report
from pipelines.calibrate import calibrate
from pipelines.cli import main
from pipelines.dedupe import dedupe
from pipelines.evaluation.pseudo_quality import pseudo_quality
from pipelines.label import label
from pipelines.report import report
from schemas.calibration import Calibration
from schemas.recipes import CalibrateRecipe, LabelRecipe, MixEntry, ScenesSource, TeacherRecipe

NANO = TeacherRecipe(checkpoint="nano", device="cpu")
WEB = ScenesSource(count=12, seed=6)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Human scenes, and the calibration of nano on them as the command line makes it."""
    folder = tmp_path_factory.mktemp("calibrate")
    import_gold("scenes", ScenesSource(count=40, seed=5), folder / "human")
    command = ["calibrate", "nano", "--on", str(folder / "human"), "--out", str(folder / "calibration.json")]
    assert main([*command, "--precision", "0.5", "--set", "teacher.device=cpu", "--json"]) == 0
    return folder


@pytest.fixture
def recipe(work: Path) -> CalibrateRecipe:
    return CalibrateRecipe(datasets=(str(work / "human"),), teacher=NANO, precision=0.5)


@pytest.fixture(scope="module")
def labels(work: Path) -> Path:
    selection = {"preset": "calibrated", "calibration": str(work / "calibration.json"), "precision": 0.5}
    recipe = LabelRecipe(source=WEB, teacher=NANO, unit_size=6, selection=selection)
    label(recipe, work / "web", backend="inline", progress=False)
    return work / "web"


def read(path: Path) -> Calibration:
    return Calibration.model_validate_json(path.read_bytes())


def test_the_document_has_every_group_and_a_check_on_pictures_not_fitted_on(work: Path) -> None:
    document = read(work / "calibration.json")
    assert len(document.groups) == 12
    assert sum(group.boxes for group in document.groups if not group.borrowed_from) > 200
    check = document.held_out
    assert check.pictures_fitted + check.pictures_held_out == 40
    assert check.raw.error is not None
    assert check.calibrated.error is not None
    assert check.calibrated.error < check.raw.error
    assert [one.target for one in check.targets] == [0.3, 0.5, 0.7, 0.9]
    assert any(group.min_score(0.5) for group in document.groups)


def test_what_people_rejected_in_human_data_is_no_right_box_any_more(work: Path, tmp_path: Path) -> None:
    human = shutil.copytree(work / "human", tmp_path / "human")
    recipe = CalibrateRecipe(datasets=(str(human),), teacher=NANO, precision=0.5, limit=12)
    out = tmp_path / "calibration.json"
    before = calibrate(recipe, out, progress=False)
    rejected = [
        said(labels, box.phrase, "rejected", box.box_xyxy)
        for labels in read_labels(Store(human))
        for box in labels.boxes[:1]
    ]
    append_verdicts(Store(human), rejected)
    after = calibrate(recipe, out, progress=False)
    assert sum(group.right for group in after.groups) < sum(group.right for group in before.groups)
    assert f"verdicts:{human}" in after.made_from


def test_the_plot_is_a_picture_of_both_reliabilities(work: Path) -> None:
    root = ElementTree.parse(work / "calibration.svg").getroot()
    names = [element.tag.rpartition("}")[2] for element in root.iter()]
    document = read(work / "calibration.json").held_out
    filled = sum(one.boxes > 0 for found in (document.raw, document.calibrated) for one in found.bins)
    assert names.count("circle") == filled
    assert "script" not in names


def test_another_target_needs_no_new_fit_and_another_floor_does(
    work: Path, recipe: CalibrateRecipe, tmp_path: Path
) -> None:
    out = tmp_path / "calibration.json"
    text = (work / "calibration.json").read_text()
    out.write_text(text.replace('"pictures_held_out": 20', '"pictures_held_out": 999'))  # to be known again
    renewed = calibrate(recipe.model_copy(update={"precision": 0.7}), out, progress=False)
    assert (renewed.precision, renewed.held_out.pictures_held_out) == (0.7, 999)
    assert renewed.groups == read(work / "calibration.json").groups
    refitted = calibrate(recipe.model_copy(update={"min_score": 0.3}), out, progress=False)
    assert refitted.held_out.pictures_held_out != 999
    assert refitted.groups[0].points[0].min_score == 0.3
    assert read(out) == refitted


def test_equal_work_gives_equal_bytes(work: Path, recipe: CalibrateRecipe, tmp_path: Path) -> None:
    calibrate(recipe, tmp_path / "again.json", progress=False)
    assert read(tmp_path / "again.json") == read(work / "calibration.json")


def test_heads_may_be_counted_in_the_labels(recipe: CalibrateRecipe, labels: Path, tmp_path: Path) -> None:
    labels = shutil.copytree(labels, tmp_path / "labels")
    dedupe(labels, progress=False)  # what it leaves out is not counted
    counted = recipe.model_copy(update={"frequencies": (str(labels),)})
    document = calibrate(counted, tmp_path / "counted.json", progress=False)
    assert set(document.made_from) == {*recipe.datasets, str(labels), f"duplicates:{labels}"}
    unseen = [group for group in document.groups if group.frequency == "unseen"]
    assert not any(group.borrowed_from for group in unseen)  # human phrases that the labels do not have


def test_a_calibrated_selection_is_what_every_reader_applies(labels: Path, work: Path) -> None:
    card = read_card(Store(labels))
    assert card.selection == {
        "preset": "calibrated",
        "calibration": str(work / "calibration.json"),
        "precision": 0.5,
    }
    told = dataset_report(labels)
    everything = dataset_report(labels, "all")
    assert 0 < (told.number("boxes") or 0) < (everything.number("boxes") or 0)
    assert told.box_selection is not None
    assert told.box_selection.dropped.keys() <= {"score_below_calibrated", "precision_out_of_reach"}
    mix = Mix.open([MixEntry(dataset=str(labels))], seed=0)
    assert mix.datasets[0].boxes == told.number("boxes")
    import_gold("scenes", WEB, work / "truth")
    judged = pseudo_quality(labels, work / "truth", also=[card.selection])
    assert {one.selection: one.boxes for one in judged.presets}["calibrated 50%"] == told.number("boxes")
    assert "calibration.json" in Path(report([labels], work / "page")).read_text()


def test_another_calibration_is_another_mix(labels: Path, work: Path, tmp_path: Path) -> None:
    def fingerprint(**fields: Any) -> str:
        chosen = {"preset": "calibrated", "calibration": str(work / "calibration.json"), **fields}
        return Mix.open([MixEntry(dataset=str(labels), selection=chosen)], seed=0).fingerprint

    shutil.copy(work / "calibration.json", tmp_path / "copy.json")
    assert fingerprint() == fingerprint(calibration=str(tmp_path / "copy.json"))
    assert fingerprint(precision=0.3) != fingerprint(precision=0.5)


def test_a_calibration_of_another_teacher_stops_a_job_before_its_work(
    work: Path, random_checkpoint: Path, tmp_path: Path
) -> None:
    selection = {"preset": "calibrated", "calibration": str(work / "calibration.json")}
    teacher = TeacherRecipe(checkpoint=str(random_checkpoint), device="cpu")
    with pytest.raises(ValueError, match="calibrate the teacher that labels"):
        label(LabelRecipe(source=WEB, teacher=teacher, selection=selection), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_what_is_no_human_grounding_data_is_refused(
    labels: Path, work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str) -> str:
        assert main(["calibrate", "nano", *arguments]) == 2
        return capsys.readouterr().err

    out = ("--out", str(tmp_path / "c.json"))
    assert "is a pseudo grounding dataset" in said("--on", str(labels), *out)
    assert "is not a dataset" in said("--on", str(tmp_path), *out)
    assert "ends in .json" in said("--on", str(work / "human"), "--out", str(tmp_path / "c.txt"))
    assert "datasets" in said(*out)
    assert "precision" in said("--on", str(work / "human"), *out, "--precision", "1.5")
    assert list(tmp_path.iterdir()) == []


def test_a_report_takes_the_selection_on_the_command_line(labels: Path, work: Path, tmp_path: Path) -> None:
    chosen = f"{{preset: calibrated, calibration: {work / 'calibration.json'}, precision: 0.3}}"
    assert main(["report", str(labels), "--out", str(tmp_path), "--selection", chosen, "--json"]) == 0
    told = json.loads((tmp_path / "report.json").read_text())["datasets"][0]["selection"]
    assert json.loads(told)["precision"] == 0.3
