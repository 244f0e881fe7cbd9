"""The benchmark of self-training: its variants are valid, its tables add up, a run is added to and not made again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from self_training import _experiment, _options, main
from self_training_cells import TEACHER_RATES, Cell, Cells, GroupResult
from self_training_print import print_tables
from self_training_seed import Learned, SeedResult
from self_training_tables import difference, summarise
from self_training_variants import AVERAGED_CONTROL, ENSEMBLE, NOBODY, PLAIN, TEACHER, VARIANTS, is_calibrated, student
from self_training_worlds import scenes_world

from engine.selection import resolve_selection
from schemas.recipes import MixEntry, TrainRecipe
from schemas.reports import PseudoLabelFigures

TINY = ["--scale", "0.001", "--steps", "2000", "--teacher-steps", "2000", "--seeds", "0", "--without-oracle"]
GROUPS = ("all rare and novel", "all rest")


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_a_selection_and_a_training_recipe(name: str) -> None:
    variant = VARIANTS[name]
    if not is_calibrated(variant):
        resolve_selection(variant.selection)
    fields = {name: value for name, value in variant.train.items() if name not in TEACHER_RATES}
    TrainRecipe(mix=(MixEntry(dataset="web", selection=variant.selection),), **fields)
    assert 0 < variant.share < 1


@pytest.mark.parametrize("name", VARIANTS)
def test_who_labels_for_a_variant_goes_back_to_teachers(name: str) -> None:
    by = VARIANTS[name].labelled_by
    rounds = 0
    while by not in (TEACHER, ENSEMBLE, NOBODY):
        by, rounds = VARIANTS[by].labelled_by, rounds + 1
        assert rounds < len(VARIANTS), "variants label for each other in a circle"


def test_the_plain_student_stands_in_every_table_once() -> None:
    experiment = _experiment(_options(["--variants", "score-weighted", PLAIN, "score-weighted"]))
    assert experiment.variants == (PLAIN, "score-weighted")


def test_what_is_set_reaches_the_training_of_all_but_the_teacher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = _experiment(_options(["--set", "caption_negatives=6", "lr=3e-4", "--out", str(tmp_path)]))
    asked: list[TrainRecipe] = []

    def trained(recipe: TrainRecipe, out: Path) -> _Trained:
        asked.append(recipe)
        return _Trained(str(out))

    monkeypatch.setattr("self_training_cells.train", trained)
    cells = Cells(experiment, tmp_path, 7, lambda phrase: "rest")
    human = [MixEntry(dataset="human")]
    cells.train_teacher("teacher", human, seed=7)
    cells.train("control", human, "teacher")
    cells.train("student x", human, "teacher", caption_negatives=8)
    assert [recipe.caption_negatives for recipe in asked] == [0, 6, 8]
    assert [recipe.optimizer.lr for recipe in asked] == [4e-4, 3e-4, 3e-4]


def test_a_field_that_is_no_json_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _options(["--set", "tune=prompt"])
    assert "wanted FIELD=JSON" in capsys.readouterr().err


def test_photos_have_nothing_left_to_calibrate_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("real_data.DATA", tmp_path)
    (tmp_path / "photos").mkdir()
    with pytest.raises(SystemExit, match="calibrated: the world 'photos' has no human data"):
        _experiment(_options(["--world", "photos", "--variants", "calibrated"]))


class _Trained(NamedTuple):
    checkpoint: str


def _cell(model: str, hits: float, seed: int = 0) -> Cell:
    """A model that finds the same share of the two phrases of each of ten pictures."""
    keys = [f"{number}" for number in range(10)]
    result = GroupResult(hits=dict.fromkeys(keys, hits), counts=dict.fromkeys(keys, 2))
    return Cell(model=model, seed=seed, groups=dict.fromkeys(GROUPS, result), words={"dax": result})


def _figures(right: int, wrong: int) -> PseudoLabelFigures:
    return PseudoLabelFigures(
        selection="selected",
        boxes=right + wrong,
        right=right,
        wrong=wrong,
        not_judged={},
        precision=right / (right + wrong),
        phrases=10,
        phrases_found=right,
        phrase_recall=right / 10,
        human_boxes=10,
        human_boxes_found=right,
        box_recall=right / 10,
    )


def _seed(number: int) -> SeedResult:
    students = {student(PLAIN): 0.75, student("score-weighted"): 1.0, student(AVERAGED_CONTROL): 0.5}
    shares = {"teacher": 0.5, **students, "control": 0.5}
    cells = [_cell(model, share, number) for model, share in shares.items()]
    learned = [
        Learned(variant=name, seed=number, groups={group: [_figures(3 + number, 2)] for group in GROUPS})
        for name in (PLAIN, "score-weighted")
    ]
    return SeedResult(cells, learned)


def test_students_are_compared_with_teacher_controls_and_the_plain_one() -> None:
    found = summarise([_seed(0), _seed(1)], _experiment(_options(["--variants", "score-weighted"])))
    gains = {pair: by_group["all rest"]["mean"] for pair, by_group in found["differences"].items()}
    assert gains == {
        "student best-box - teacher": 0.25,
        "student best-box - control": 0.25,
        "student score-weighted - teacher": 0.5,
        "student score-weighted - control": 0.5,
        "student score-weighted - student best-box": 0.25,
        "student score-weighted - student averaged-control": 0.5,
        "student best-box - student averaged-control": 0.25,
        "student averaged-control - teacher": 0.0,
        "student averaged-control - control": 0.0,
        "student averaged-control - student best-box": -0.25,
        "control - teacher": 0.0,
    }
    assert found["words"]["dax"]["student best-box"] == 0.75
    learned = found["learned"]["score-weighted"]["all rest"][0]
    assert (learned["boxes"], learned["precision"], learned["phrase_recall"]) == (11, 7 / 11, 7 / 20)


def test_a_difference_that_every_picture_has_is_certain() -> None:
    found = difference([_cell("a", 0.75), _cell("b", 0.5)], "a", "b", "all rest")
    assert found == {"mean": 0.25, "interval": [0.25, 0.25]}


def test_tables_have_a_row_for_each_model(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables(summarise([_seed(0)], _experiment(_options(["--variants", "score-weighted"]))))
    printed = capsys.readouterr().out
    assert "| student score-weighted | 100.0 | 100.0 |" in printed
    certain = [f"+{points} (+{points} to +{points})" for points in ("50.0", "50.0", "50.0", "25.0")]
    assert f"| student score-weighted | {' | '.join(certain)} |" in printed
    assert "| score-weighted | 5 / 60.0 % / 30.0 % |" in printed


@pytest.mark.slow
def test_variants_are_added_to_a_folder_and_what_is_there_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*variants: str) -> dict[str, dict[str, dict[str, list[float]]]]:
        arguments = ["self_training.py", *TINY, "--out", str(tmp_path), "--variants", *variants]
        monkeypatch.setattr("sys.argv", arguments)
        assert main() == 0
        found: dict[str, dict[str, dict[str, list[float]]]] = json.loads((tmp_path / "results.json").read_text())
        return found

    first = run(PLAIN)
    stood = {path: path.stat().st_mtime_ns for path in (tmp_path / "seed-0").glob("*.json")}
    others = ("score-weighted", "ensemble-agreed", "second-round", "words-alone-control", AVERAGED_CONTROL)
    second = run(*others)
    assert {path: path.stat().st_mtime_ns for path in stood} == stood, "a cell was made again"
    added = {student(name) for name in others}
    for group, models in second["recall"].items():
        assert models.keys() == first["recall"][group].keys() | added
        assert {model: models[model] for model in first["recall"][group]} == first["recall"][group]
    # Who labelled decides what is learned; how training weighs it does not.
    assert second["learned"]["score-weighted"] == second["learned"][PLAIN]
    assert second["learned"].keys().isdisjoint({"words-alone-control", AVERAGED_CONTROL})
    datasets = {path.name for path in (tmp_path / "seed-0").glob("pseudo*")}
    assert datasets == {"pseudo", "pseudo-ensemble", f"pseudo-{PLAIN}"}


def test_an_exam_of_another_seed_has_pictures_and_cells_of_its_own() -> None:
    world = scenes_world(0.01)
    again = world.examined_by(9)
    assert [exam.scenes.seed for exam in again.exams if exam.scenes] == [9]
    assert {exam.name for exam in again.exams}.isdisjoint(exam.name for exam in world.exams)
    assert again.cell_suffix != world.cell_suffix == ""
