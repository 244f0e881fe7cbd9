"""GLIP asked by itself: its boxes are in the picture's own pixels, and it answers down to the floor it is given."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from grounding_requests import PROMPT
from pictures import decoded
from PIL import Image
from torch.nn.modules.module import register_module_forward_pre_hook

from glip.checkpoint import load_model, save_model
from glip.model import GLIP
from schemas.recipes import TeacherRecipe
from schemas.records import Candidate
from teacher.glip_grounder import PROMPTS_AT_ONCE, GlipGrounder, text_features
from teacher.grounder import teacher_digest
from teacher.protocol import Grounder, Question


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


def test_a_model_that_leaves_out_the_last_pixel_gives_boxes_with_it(random_checkpoint: Path, tmp_path: Path) -> None:
    loaded = load_model(random_checkpoint)
    loaded.model.config = dataclasses.replace(loaded.config, last_pixel_left_out=True)
    published = save_model(tmp_path / "published", loaded.model, loaded.tokenizer, {})
    found, whole = (
        [(one.phrase, one.score, *one.box_xyxy) for one in _found(path)] for path in (random_checkpoint, published)
    )
    assert found
    assert whole == [(phrase, score, x1, y1, x2 + 1, y2 + 1) for phrase, score, x1, y1, x2, y2 in found]


def test_a_picture_smaller_than_its_bucket_has_boxes_in_its_own_frame(
    web: Any, random_checkpoint: Path, tmp_path: Path
) -> None:
    """A head that only makes the anchors smaller finds squares; in a frame of another shape they would be none."""
    loaded = load_model(random_checkpoint)
    last = loaded.model.rpn.head.bbox_pred
    last.load_state_dict({"weight": torch.zeros_like(last.weight), "bias": torch.tensor([0.0, 0.0, -5.0, -5.0])})
    folder = save_model(tmp_path / "squares", loaded.model, loaded.tokenizer, {})
    grounder = GlipGrounder(TeacherRecipe(checkpoint=str(folder), device="cpu"))
    assert grounder.bucket(70, 64) == (64, 96)
    pixels = grounder.prepare(decoded(web.jpeg(0, 70, 64)))
    [found] = grounder.ground([Question(pixels, PROMPT, 70, 64)], 0.05)
    boxes = [one.box_xyxy for one in found]
    sides = [(x2 - x1, y2 - y1) for x1, y1, x2, y2 in boxes if x1 > 0 and y1 > 0 and x2 < 69 and y2 < 63]
    assert sides
    for width, height in sides:
        assert width == pytest.approx(height)


@pytest.mark.parametrize(
    ("fields", "size_hw"), [({}, (48, 96)), ({"min_size": 40}, (40, 80)), ({"max_size": 80}, (40, 80))]
)
def test_a_picture_is_made_as_large_as_the_recipe_says_or_else_the_model(
    random_checkpoint: Path, fields: dict[str, int], size_hw: tuple[int, int]
) -> None:
    recipe = TeacherRecipe(checkpoint=str(random_checkpoint), device="cpu", **fields)  # type: ignore[arg-type]
    grounder = GlipGrounder(recipe)
    assert grounder.prepare(Image.new("RGB", (200, 100))).shape == (3, *size_hw)
    assert grounder.digest == teacher_digest(recipe), "had without opening it"


def test_a_prompt_may_be_as_long_as_the_model_reads_with_its_special_tokens(grounder: Grounder) -> None:
    longest = "a " * (grounder.max_tokens - len(["[CLS]", "[SEP]"]))
    assert grounder.count_tokens(longest) == grounder.max_tokens
    assert grounder.phrase_fits(longest)
    assert not grounder.phrase_fits(longest + "a")


def test_boxes_below_the_floor_are_left_out_and_no_others(random_checkpoint: Path) -> None:
    """The floor is on the final score, which may be above that of the phrase alone."""
    found = _found(random_checkpoint)
    floor = sorted(one.score for one in found)[len(found) // 2]
    kept = [one for one in found if one.score >= floor]
    assert len(kept) < len(found)
    assert _found(random_checkpoint, floor) == kept


def test_the_recipes_threads_are_for_its_own_work_alone(random_checkpoint: Path) -> None:
    before, seen = torch.get_num_threads(), set()
    grounder = GlipGrounder(TeacherRecipe(checkpoint=str(random_checkpoint), device="cpu", threads=before + 1))
    question = Question(grounder.prepare(Image.new("RGB", (200, 100))), PROMPT, 200, 100)
    with register_module_forward_pre_hook(lambda *_: seen.add(torch.get_num_threads())):
        grounder.ground([question], 0.05)
        assert torch.get_num_threads() == before
        with pytest.raises(AttributeError):
            grounder.ground([dataclasses.replace(question, pixels=None)], 0.05)
    assert seen == {before + 1}
    assert torch.get_num_threads() == before, "after an error too"


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
