"""The ensemble: two teachers asked as one, and how far they agree stays with each box, into the shard."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from grounding_requests import PROMPT
from PIL import Image
from pydantic import ValidationError

from engine.artifacts import Store
from engine.shards import read_shard
from engine.statistics import dataset_report
from pipelines.label import label
from pipelines.verify import verify
from schemas.recipes import LabelRecipe, TeacherRecipe, WebDatasetSource, load_recipe
from schemas.records import Candidate
from teacher.ensemble_grounder import EnsembleGrounder
from teacher.grounder import open_grounder, teacher_digest
from teacher.protocol import Grounder, Question


@pytest.fixture
def members(hub_folders: dict[str, Path], random_checkpoint: Path) -> dict[str, TeacherRecipe]:
    recipes = {kind: TeacherRecipe(grounder=kind, checkpoint=str(folder)) for kind, folder in hub_folders.items()}
    return {**recipes, "glip": TeacherRecipe(checkpoint=str(random_checkpoint))}


def ensemble(first: TeacherRecipe, second: TeacherRecipe, **fields: Any) -> TeacherRecipe:
    return TeacherRecipe(grounder="ensemble", members=(first, second), device="cpu", **fields)


def answers(web: Any, grounder: Grounder, min_score: float = 0.05) -> list[Any]:
    image = Image.open(io.BytesIO(web.jpeg(1))).convert("RGB")
    return grounder.ground([Question(grounder.prepare(image), PROMPT, *image.size)], min_score)[0]


def test_a_teacher_agrees_with_itself_wholly(web: Any, members: dict[str, TeacherRecipe]) -> None:
    alone = answers(web, open_grounder(members["glip"]))
    twice = answers(web, open_grounder(ensemble(members["glip"], members["glip"])))
    assert alone
    assert [one.agreement for one in twice] == pytest.approx([1.0] * len(alone))
    assert sorted(one.score for one in twice) == pytest.approx(sorted(one.score for one in alone))


def test_every_box_says_how_far_two_different_teachers_agree(web: Any, members: dict[str, TeacherRecipe]) -> None:
    found = answers(web, open_grounder(ensemble(members["grounding-dino"], members["owlv2"])))
    assert found
    assert all(one.agreement is not None and 0 <= one.agreement <= 1 for one in found)
    assert all(one.agreement == 0 or one.agreement >= 0.5 for one in found)
    assert min(one.score for one in found) >= 0.05


def test_a_higher_floor_leaves_out_boxes_and_changes_none(web: Any, members: dict[str, TeacherRecipe]) -> None:
    both = open_grounder(ensemble(members["grounding-dino"], members["owlv2"]))
    whole = answers(web, both)
    agreed = [one for one in whole if one.agreement and one.score < 0.6]
    for floor in (0.3, 0.5, *(one.score for one in agreed[:3])):
        assert answers(web, both, floor) == [one for one in whole if one.score >= floor]


def test_a_weak_box_of_one_teacher_confirms_a_strong_one_of_the_other_whatever_the_floor() -> None:
    def member(score: float, full_batches: bool) -> Any:
        def ground(questions: list[Question], min_score: float) -> list[list[Candidate]]:
            return [[Candidate(0, (0.0, 0.0, 4.0, 4.0), score)] if score >= min_score else [] for _ in questions]

        return SimpleNamespace(max_tokens=9, full_batches=full_batches, digest="d", ground=ground)

    both = EnsembleGrounder(member(0.8, True), member(0.1, False))
    assert both.full_batches, "one compiled member is enough"
    [[found]] = both.ground([Question((None, None), PROMPT, 9, 9)], 0.4)
    assert (found.score, found.agreement) == (pytest.approx(0.45), 1.0)
    [[found]] = EnsembleGrounder(member(0.03, True), member(0.02, False)).ground(
        [Question((None, None), PROMPT, 9, 9)], 0.01
    )
    assert found.score == pytest.approx(0.025), "where weaker boxes are wanted, members are asked for them"


def test_a_prompt_fits_where_both_teachers_read_it(members: dict[str, TeacherRecipe]) -> None:
    dino, owl = open_grounder(members["grounding-dino"]), open_grounder(members["owlv2"])
    both = open_grounder(ensemble(members["grounding-dino"], members["owlv2"]))
    for words in (1, 40, 45, 46, 47, 80):
        text = " ".join(["dog"] * words)
        assert (both.count_tokens(text) <= both.max_tokens) == (dino.count_tokens(text) <= dino.max_tokens)
    for text in ("a dog", "an elaborate birthday cake", "a b c d e f"):
        assert both.phrase_fits(text) == (dino.phrase_fits(text) and owl.phrase_fits(text))


def test_the_digest_is_of_both(members: dict[str, TeacherRecipe]) -> None:
    pairs = [("glip", "owlv2"), ("owlv2", "glip"), ("glip", "grounding-dino"), ("grounding-dino", "mm-grounding-dino")]
    assert len({teacher_digest(ensemble(members[a], members[b])) for a, b in pairs}) == 4


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"grounder": "ensemble"}, "an ensemble has two members, not 0"),
        ({"grounder": "glip", "members": [{}, {}]}, "members are an ensemble's"),
        (
            {"grounder": "ensemble", "members": [{}, {"grounder": "ensemble", "members": [{}, {}]}]},
            "cannot be an ensemble itself",
        ),
        ({"revision": "main"}, "String should match pattern"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises((ValidationError, ValueError), match=message):
        load_recipe(TeacherRecipe, None, (), fields)


def test_a_recipe_of_an_ensemble_is_written_as_it_is_read() -> None:
    written = ensemble(TeacherRecipe(), TeacherRecipe(grounder="owlv2", checkpoint="x/y", revision="a" * 40))
    assert TeacherRecipe.model_validate_json(json.dumps(written.model_dump(mode="json"))) == written


def test_the_agreement_is_kept_in_the_shard_and_in_the_table(
    web: Any, members: dict[str, TeacherRecipe], tmp_path: Path
) -> None:
    web.tar_of(tmp_path / "web" / "0.tar", web.samples(6))
    source = WebDatasetSource(uri=str(tmp_path / "web"))
    together = ensemble(members["glip"], members["grounding-dino"])
    for name, teacher in (("both", together), ("one", members["glip"])):
        recipe = LabelRecipe(source=source, teacher=teacher, unit_size=4)
        label(recipe, tmp_path / name, backend="inline", progress=False)
        assert verify(tmp_path / name).problems == []
    boxes = [box for one in read_shard(Store(tmp_path / "both"), 0) for box in one.labels.boxes]
    assert boxes
    assert all(box.agreement is not None for box in boxes)
    table = pq.read_table(tmp_path / "both" / "annotations" / "000000.parquet")
    assert table["agreement"].to_pylist() == pytest.approx([box.agreement for box in boxes], abs=1e-4)
    assert dataset_report(tmp_path / "both").number("candidate_boxes")
    agreed = sum(box.agreement >= 0.5 for box in boxes)  # type: ignore[operator]  # checked above
    selected = dataset_report(tmp_path / "both", selection={"min_agreement": 0.5})
    assert selected.number("boxes") == agreed
    with tarfile.open(tmp_path / "one" / "shards" / "000000.tar") as tar:
        texts = [tar.extractfile(member).read() for member in tar if member.name.endswith(".json")]  # type: ignore[union-attr]
    assert texts
    assert not any(b"agreement" in text for text in texts), "a single teacher has none to write"
    assert pq.read_table(tmp_path / "one" / "annotations" / "000000.parquet")["agreement"].null_count > 0
