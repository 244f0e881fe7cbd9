"""Less memory for more time, and never another result: blocks computed again, batches in parts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from student_runs import train_alone

from engine.mix import Mix
from glip.anchors import level_shapes
from glip.checkpoint import load_model
from schemas.recipes import TrainRecipe
from student.collate import split_batch
from student.memory import blocks_of
from student.parts import parts_of_step
from student.session import Session, build
from student.step import forward_losses, train_step
from student.workers import Workers


def _session(recipe: TrainRecipe) -> Session:
    return build(recipe, Mix.open(recipe.mix, recipe.seed, recipe.sampling), Workers())


def _trained(recipe: TrainRecipe, out: Path) -> dict[str, torch.Tensor]:
    return load_model(train_alone(recipe, out).model_folder).model.state_dict()


def test_blocks_that_are_computed_again_change_no_weight(small_recipe: TrainRecipe, tmp_path: Path) -> None:
    plain = _trained(small_recipe, tmp_path / "plain")
    again = _trained(small_recipe.model_copy(update={"gradient_checkpointing": True}), tmp_path / "again")
    assert plain.keys() == again.keys()
    for name, value in plain.items():
        torch.testing.assert_close(again[name], value, atol=1e-6, rtol=1e-5)


def test_less_is_kept_for_the_backward_pass(small_recipe: TrainRecipe) -> None:
    kept = {}
    for again in (False, True):
        session = _session(small_recipe.model_copy(update={"gradient_checkpointing": again}))
        assert len(blocks_of(session.raw)) == 4 + 1 + 3  # Swin, BERT, and fusion, BERT layer and DyConv of the head
        sizes: list[int] = []
        batch = session.data.batch(0)
        with torch.autograd.graph.saved_tensors_hooks(lambda one, s=sizes: (s.append(one.nbytes), one)[1], lambda x: x):
            [part] = parts_of_step(batch, session.recipe, session.config, session.workers)
            forward_losses(session, part)
        kept[again] = sum(sizes)
    assert kept[True] < 0.7 * kept[False]


OBJECTIVE = {"masked_language": 1.0, "masked_share": 0.4}


def test_a_batch_in_parts_gives_the_losses_and_gradients_of_the_whole(small_recipe: TrainRecipe) -> None:
    """Parts have unequal numbers of boxes, so that each by itself would be divided by another number."""
    values, gradients, positives = {}, {}, {}
    for parts in (1, 2, 3, 4):
        session = _session(small_recipe.model_copy(update={"accumulation": parts, **OBJECTIVE}))
        batch = session.data.batch(0)
        found = parts_of_step(batch, session.recipe, session.config, session.workers)
        positives[parts] = [len(part.positives.anchor_P) for part in found]
        values[parts] = train_step(session, batch, 0)
        gradients[parts] = [p.grad for p in session.raw.parameters() if p.grad is not None]
    assert len(set(positives[4])) > 1
    for parts in (2, 3, 4):
        assert sum(positives[parts]) == sum(positives[1])
        torch.testing.assert_close(values[parts], values[1], atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(gradients[parts], gradients[1], atol=1e-6, rtol=1e-3)


def test_levels_are_known_before_the_model_answers(small_recipe: TrainRecipe) -> None:
    session = _session(small_recipe)
    for shape_hw in ((64, 96), (160, 224), (32, 320)):
        ids_BT = torch.ones(1, 4, dtype=torch.long)
        output = session.raw(torch.zeros(1, 3, *shape_hw), ids_BT, ids_BT.bool())
        assert level_shapes(shape_hw, session.config) == output.level_shapes


def test_parts_are_the_batch_in_order_and_padded_as_the_whole(small_recipe: TrainRecipe) -> None:
    batch = _session(small_recipe).data.batch(0)
    parts = split_batch(batch, 4)
    assert [len(part.images) for part in parts] == [1] * 4
    assert all(part.shape_hw == batch.shape_hw for part in parts)
    assert all(part.images[0] is image for part, image in zip(parts, batch.images, strict=True))
    assert all(part.targets[0] is target for part, target in zip(parts, batch.targets, strict=True))
    assert torch.equal(torch.cat([part.token_ids_bt for part in parts]), batch.token_ids_bt)
    assert torch.equal(torch.cat([part.attention_mask_bt for part in parts]), batch.attention_mask_bt)
    assert len(batch.attention_mask_bt.sum(dim=1).unique()) > 1
    assert [len(part.images) for part in split_batch(batch, 3)] == [1, 1, 2]
    with pytest.raises(ValueError, match="4 pictures of a worker cannot go in 5 parts"):
        split_batch(batch, 5)
