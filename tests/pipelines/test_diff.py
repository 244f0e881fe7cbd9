"""``glip-engine diff A B``: what another recipe changed, told and refused in words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.artifacts import Store
from engine.shards import CARD, read_card
from engine.statistics import dataset_report
from pipelines.cli import main
from pipelines.diff import diff
from pipelines.label import label
from pipelines.labelling.bookkeeping import difference_of
from schemas.recipes import LabelRecipe, ScenesSource, TeacherRecipe, WebDatasetSource


@pytest.fixture(scope="module")
def work(web: Any, random_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same tar labelled twice, the second time with fewer boxes; and the same pictures under other keys."""
    folder = tmp_path_factory.mktemp("diff")
    members = web.samples(6)
    web.tar_of(folder / "web/0.tar", members)
    web.tar_of(folder / "renamed/0.tar", [(f"x{name}", content) for name, content in members])
    teacher = TeacherRecipe(checkpoint=str(random_checkpoint), device="cpu", batch_size=2)
    for name, source, most in (("a", "web", 20), ("b", "web", 2), ("c", "renamed", 20)):
        recipe = LabelRecipe(
            source=WebDatasetSource(uri=str(folder / source)),
            teacher=teacher,
            unit_size=4,
            max_boxes_per_phrase=most,
            selection="all",
        )
        label(recipe, folder / name, backend="inline", progress=False)
    return folder


def test_a_recipe_that_keeps_fewer_boxes_loses_boxes_and_nothing_else(work: Path) -> None:
    found = diff(work / "a", work / "b", progress=False)
    assert found.difference == "max_boxes_per_phrase was 20, is now 2"
    assert (found.images.both, found.images.lost, found.images.gained) == (6, 0, 0)
    assert (found.phrases.lost, found.phrases.gained, found.boxes.gained) == (0, 0, 0)
    assert found.boxes.lost > 0
    assert [band.boxes for band in found.bands] == [found.boxes.both, 0, 0]
    assert found.score_shift.mean == 0
    assert sum(head.lost for head in found.heads) == found.boxes.lost
    back = diff(work / "b", work / "a", progress=False)
    assert (back.boxes.gained, back.boxes.lost) == (found.boxes.lost, 0)


def test_under_a_selection_only_what_it_keeps_is_compared(work: Path) -> None:
    raw = diff(work / "a", work / "b", progress=False)
    median = dataset_report(work / "a").number("median_score")
    some = diff(work / "a", work / "b", selection={"min_score": median}, progress=False)
    assert 0 < some.boxes.both + some.boxes.lost < raw.boxes.both + raw.boxes.lost
    assert some.selections == (f'{{"min_score":{median}}}',) * 2


def test_other_sources_are_refused_unless_forced_and_then_matched_by_picture(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", str(work / "a"), str(work / "c")]) == 2
    assert "are of different sources" in capsys.readouterr().err
    assert main(["diff", str(work / "a"), str(work / "c"), "--force", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["matched_by"] == "picture and caption"
    assert "the content of the source" in found["difference"]
    assert (found["images"]["both"], found["images"]["lost"]) == (6, 0)
    assert (found["boxes"]["lost"], found["boxes"]["gained"]) == (0, 0)


def test_of_another_kind_of_source_the_kind_is_told_and_not_its_fields(work: Path) -> None:
    before = read_card(Store(work / "a"))
    drawn = ScenesSource(count=6).model_dump(mode="json")
    after = before.model_copy(update={"recipe": {**before.recipe, "source": drawn, "min_score": 0.3}})
    told = difference_of(before, after)
    assert told == "min_score was 0.05, is now 0.3; source.kind was 'webdataset', is now 'scenes'"


def test_a_dataset_that_is_not_complete_is_refused(work: Path, tmp_path: Path) -> None:
    shutil.copytree(work / "b", tmp_path / "half")
    card = tmp_path / "half" / CARD
    card.write_text(card.read_text().replace('"complete": true', '"complete": false'))
    with pytest.raises(ValueError, match="is not complete"):
        diff(work / "a", tmp_path / "half", progress=False)
    assert diff(work / "a", tmp_path / "half", force=True, progress=False).matched_by == "key"


def test_it_prints_what_changed_most(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(work / "a"), str(work / "b")]) == 0
    printed = capsys.readouterr().out
    assert "max_boxes_per_phrase was 20, is now 2" in printed
    assert "Head lemmas that changed most" in printed
    assert "dog" in printed
