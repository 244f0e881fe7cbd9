"""GLIP asked by itself: its boxes are in the picture's own pixels, and it answers down to the floor it is given."""

from __future__ import annotations

from pathlib import Path

import torch
from grounding_requests import PROMPT
from PIL import Image

from glip.checkpoint import load_model, save_model
from schemas.recipes import TeacherRecipe
from schemas.records import Candidate
from teacher.glip_grounder import GlipGrounder
from teacher.protocol import Question


def _found(checkpoint: Path, min_score: float = 0.05) -> list[Candidate]:
    """In a picture of 200 x 100 pixels."""
    grounder, image = (
        GlipGrounder(TeacherRecipe(checkpoint=str(checkpoint), device="cpu")),
        Image.new("RGB", (200, 100)),
    )
    return grounder.ground([Question(grounder.prepare(image), PROMPT, 200, 100)], min_score)[0]


def test_boxes_lie_in_the_pixels_of_the_picture(random_checkpoint: Path) -> None:
    corners = torch.tensor([candidate.box_xyxy for candidate in _found(random_checkpoint)])
    assert corners.min() >= 0
    assert 100 < corners[:, 2].max() <= 200
    assert corners[:, 3].max() <= 100


def test_a_floor_below_the_published_one_is_kept_to(random_checkpoint: Path, tmp_path: Path) -> None:
    """The published threshold, 0.05, is on the score of the phrase, before centerness."""
    loaded = load_model(random_checkpoint)
    torch.nn.init.constant_(loaded.model.rpn.head.bias0, -4.6)  # a phrase has a probability of about 0.01
    unsure = save_model(tmp_path / "unsure", loaded.model, loaded.tokenizer, {})
    assert _found(unsure, min_score=0.001)
    assert not _found(unsure, min_score=0.05)
