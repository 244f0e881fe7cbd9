"""`teacher.compile`: the boxes of the teacher as it is, with no more graphs than its batches have shapes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from grounding_requests import request
from pydantic import ValidationError

from glip.compiled import CompiledModel
from schemas.recipes import TeacherRecipe
from schemas.records import Grounding, GroundingRequest
from teacher.grounder import open_grounder, teacher_digest
from teacher.worker import TeacherWorker


@pytest.fixture(autouse=True)
def _forget_graphs() -> Iterator[None]:
    yield
    torch._dynamo.reset()


def grounded(recipe: TeacherRecipe, requests: list[GroundingRequest]) -> list[Grounding]:
    worker = TeacherWorker(open_grounder(recipe), batch_size=2, min_score=0.05)
    return [one for one in worker.ground(requests) if isinstance(one, Grounding)]


def test_a_compiled_teacher_gives_the_same_boxes_from_one_graph_a_shape(
    web: Any, random_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graphs are run as they are: what inductor makes of them is looked at in tests/glip/test_compiled.py."""
    monkeypatch.setattr("teacher.glip_grounder.CompiledModel", partial(CompiledModel, backend="eager"))
    sizes = [(80, 64), (64, 80), (80, 64), (80, 64), (64, 80)]  # three of one bucket, two of the other
    requests = [request(str(number), web.jpeg(number, *size)) for number, size in enumerate(sizes)]
    recipe = TeacherRecipe(checkpoint=str(random_checkpoint), device="cpu")
    counters = torch._dynamo.utils.counters
    counters.clear()
    compiled = grounded(recipe.model_copy(update={"compile": True}), requests)
    assert counters["stats"]["unique_graphs"] == 2
    assert compiled == grounded(recipe, requests)
    assert all(one.candidates for one in compiled)


def test_compiling_is_no_part_of_what_a_teacher_is(random_checkpoint: Path) -> None:
    recipe = TeacherRecipe(checkpoint=str(random_checkpoint))
    assert teacher_digest(recipe.model_copy(update={"compile": "reduce-overhead"})) == teacher_digest(recipe)


@pytest.mark.parametrize("fields", [{"grounder": "owlv2", "compile": True}, {"compile": "max-speed"}])
def test_what_cannot_be_compiled_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="compile"):
        TeacherRecipe(**fields)
