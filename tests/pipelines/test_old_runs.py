"""Folders of old runs: the latest stay, and those in use; a crash leaves none that looks whole; the record tells."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tiny_retraining import call, let_pass, recipe_of, tiny_retraining

from engine.retraining.records import RetrainRecords
from pipelines.lineage.tree import lineage
from pipelines.registry import show
from pipelines.retraining.old_runs import REMOVING, old_runs, without_old_runs
from pipelines.schedule import schedule_status
from schemas.retrain import RetrainFacts, RetrainRecord
from schemas.retrain_recipes import RetrainRecipe

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def fields(random_checkpoint: Path, tmp_path: Path) -> dict[str, Any]:
    return tiny_retraining(random_checkpoint, tmp_path)


def ended_runs(recipe: RetrainRecipe, count: int, **of_the_first: Any) -> list[RetrainRecord]:
    """Runs on record with folders that hold a generation, the first of them as given."""
    records, made = RetrainRecords(str(recipe.generation.registry)), []
    for number in range(1, count + 1):
        folder = Path(recipe.runs, f"{number:06d}")
        (folder / "student").mkdir(parents=True)
        (folder / "student" / "weights").write_bytes(b"0")
        (folder / "recipe.json").write_text(recipe.generation.model_dump_json())
        fields = {"finished": NOW, "outcome": "refused", **(of_the_first if number == 1 else {})}
        record = RetrainRecord(
            number=number, folder=str(folder), because=[], recipe_digest="", begun=NOW, facts=RetrainFacts(), **fields
        )
        records.write(record)
        made.append(record)
    return made


def folders(recipe: RetrainRecipe) -> list[str]:
    return sorted(path.name for path in Path(recipe.runs).iterdir())


def going(recipe: RetrainRecipe, made: list[RetrainRecord], current: int | None = None) -> list[str]:
    return [folder.name for folder in old_runs(recipe, made, current)]


def test_after_a_run_the_latest_stay_and_the_record_tells_what_went(
    fields: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = recipe_of(fields, keep_runs=2)
    ended_runs(recipe, 3)
    result = call(recipe, if_due=False, progress=True)
    assert (result.outcome, result.run.number, folders(recipe)) == ("refused", 4, ["000003", "000004"])
    assert [Path(one).name for one in result.run.removed] == ["000001", "000002"]
    assert RetrainRecords(str(recipe.generation.registry)).last() == result.run
    assert f"deleted, as the recipe keeps no more runs: {recipe.runs}/000001, " in capsys.readouterr().out
    assert not call(recipe).due, "what the policy looks at is still there"


def test_a_version_is_whole_and_knows_its_lineage_without_the_run_it_came_from(fields: dict[str, Any]) -> None:
    let_pass(fields)
    promoted = call(recipe_of(fields)).run
    before = lineage(promoted.promoted, progress=False)
    shutil.rmtree(promoted.folder)
    assert lineage(promoted.promoted, progress=False) == before
    assert [one.problem for one in show(fields["generation"]["registry"], progress=False).versions] == [None, None]


def test_nothing_is_deleted_where_the_recipe_does_not_ask_or_the_run_has_failed(fields: dict[str, Any]) -> None:
    recipe = recipe_of(fields)
    made = ended_runs(recipe, 3)
    with RetrainRecords(str(recipe.generation.registry)).held():
        assert without_old_runs(recipe, RetrainRecords(str(recipe.generation.registry)), made[-1]) == made[-1]
    fields["generation"]["gold"] = [{"name": "human", "format": "coco", "path": str(Path(recipe.runs, "nowhere"))}]
    with pytest.raises(ValueError, match="nowhere does not exist"):
        call(recipe_of(fields, keep_runs=1), if_due=False)
    assert set(folders(recipe)) >= {"000001", "000002", "000003"}


def test_the_run_of_the_current_version_stays(fields: dict[str, Any]) -> None:
    recipe = recipe_of(fields, keep_runs=1)
    made = ended_runs(recipe, 3, outcome="promoted", promoted=f"registry:{recipe.generation.registry}@7")
    assert going(recipe, made, current=7) == ["000002"]
    assert going(recipe, made, current=8) == ["000001", "000002"]


def test_a_run_that_has_not_ended_stays(fields: dict[str, Any]) -> None:
    recipe = recipe_of(fields, keep_runs=1)
    assert going(recipe, ended_runs(recipe, 3, finished=None, outcome=None)) == ["000002"]


def test_a_run_that_the_recipe_names_a_path_in_stays(fields: dict[str, Any]) -> None:
    recipe = recipe_of(fields, keep_runs=1)
    made = ended_runs(recipe, 3)
    fields["generation"]["train"]["init"] = f"{recipe.runs}/000002/student/model"
    assert going(recipe_of(fields, keep_runs=1), made) == ["000001"]


def test_another_registrys_run_a_link_and_what_is_no_run_stay(fields: dict[str, Any], tmp_path: Path) -> None:
    recipe = recipe_of(fields, keep_runs=1)
    made = ended_runs(recipe, 5)
    runs = Path(recipe.runs)
    (runs / "000001" / "recipe.json").write_text(json.dumps({"registry": "another"}))
    (runs / "000002").rename(tmp_path / "elsewhere")
    (runs / "000002").symlink_to(tmp_path / "elsewhere")
    (runs / "000003" / "recipe.json").unlink()
    (runs / "watched").mkdir()
    assert going(recipe, made) == ["000004"]


def test_a_crash_while_deleting_leaves_no_half_run_and_the_next_time_ends_it(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(fields, keep_runs=1)
    made = ended_runs(recipe, 3)
    records = RetrainRecords(str(recipe.generation.registry))

    def dies(folder: Path) -> None:
        (folder / "recipe.json").unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.retraining.old_runs.shutil.rmtree", dies)
    with pytest.raises(KeyboardInterrupt):
        without_old_runs(recipe, records, made[-1])
    assert folders(recipe) == [f"{REMOVING}000001", f"{REMOVING}000002", "000003"]
    monkeypatch.undo()
    removed = without_old_runs(recipe, records, made[-1]).removed
    assert ([Path(one).name for one in removed], folders(recipe)) == (["000001", "000002"], ["000003"])


def test_what_cannot_be_deleted_fails_no_run_and_is_told(
    fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = recipe_of(fields, keep_runs=1)
    ended_runs(recipe, 1)
    rmtree = shutil.rmtree

    def refused(folder: str | Path, **options: Any) -> None:
        if REMOVING in str(folder):
            raise PermissionError(13, "Permission denied", str(folder))
        rmtree(folder, **options)

    monkeypatch.setattr("pipelines.retraining.old_runs.shutil.rmtree", refused)
    result = call(recipe, if_due=False)
    assert (result.outcome, result.run.removed) == ("refused", [])
    assert "Permission denied" in result.run.removal_problem
    schedule_status(recipe)
    assert "old runs could not be deleted: [Errno 13]" in capsys.readouterr().out
