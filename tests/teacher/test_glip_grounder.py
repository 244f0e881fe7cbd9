"""GLIP asked by itself: its boxes are in the picture's own pixels, and it answers down to the floor it is given."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from grounding_requests import PROMPT
from PIL import Image

from glip.checkpoint import load_model, save_model
from glip.model import GLIP
from schemas.recipes import TeacherRecipe
from schemas.records import Candidate
from teacher.glip_grounder import PROMPTS_AT_ONCE, GlipGrounder, text_features
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


def test_prompts_read_together_on_a_gpu_are_read_as_one_by_one_on_a_cpu(random_checkpoint: Path) -> None:
    most = 48  # a length of its own: beyond it the tower has no positions
    config = dataclasses.replace(load_model(random_checkpoint).config, max_tokens=most, text_positions=most)
    model, calls = GLIP(config).eval(), []
    model.language_backbone.register_forward_hook(lambda _, given, found: calls.append(tuple(given[0].shape)))
    mask = torch.arange(most) < torch.tensor([3, 8, 20, 32, 33, most]).unsqueeze(1)
    ids = torch.randint(5, 60, mask.shape, generator=torch.Generator().manual_seed(0)) * mask
    together, alone = (text_features(model, torch.device(name))(ids, mask) for name in ("cuda", "cpu"))
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert calls[:2] == [(PROMPTS_AT_ONCE, 32), (PROMPTS_AT_ONCE, most)]
    assert len(calls) == 2 + len(mask)
