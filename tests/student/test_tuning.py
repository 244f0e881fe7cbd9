"""Modes of fine-tuning: each moves what it says and nothing else, and gives a checkpoint that opens like any other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from student_runs import train_alone
from torch import nn

from engine.mix import Mix
from glip.checkpoint import load_model
from schemas.recipes import TrainRecipe
from student.checkpoint import raw_weights
from student.session import build
from student.tuning import LORA_ALPHA, OUTPUT_LAYERS, low_rank_update, plain_model, plain_weights
from student.workers import Workers

MODES = ("full", "linear-probe", "prompt", "lora")


def _changed(recipe: TrainRecipe, folder: Path) -> set[str]:
    before, after = load_model(recipe.init).model.state_dict(), load_model(folder).model.state_dict()
    return {name for name, value in after.items() if name not in before or not torch.equal(value, before[name])}


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_trains_what_it_says_and_its_checkpoint_opens_as_any_other(
    small_recipe: TrainRecipe, tmp_path: Path, mode: str
) -> None:
    recipe = small_recipe.model_copy(update={"tune": mode})
    changed = _changed(recipe, train_alone(recipe, tmp_path).model_folder)
    linear = {name for name in changed if name.endswith(".weight") and "norm" not in name.lower()}
    if mode == "full":
        assert len(changed) > 100
    elif mode == "linear-probe":
        assert changed
        assert {name.removeprefix("rpn.head.").split(".")[0] for name in changed} <= set(OUTPUT_LAYERS)
    elif mode == "prompt":
        assert changed == {"language_backbone.offsets.weight"}
    else:
        assert changed == linear
        assert {name.split(".")[0] for name in changed} == {"backbone", "language_backbone", "rpn"}


def test_only_words_that_were_read_get_an_offset_and_it_moves_the_answer(
    small_recipe: TrainRecipe, tmp_path: Path
) -> None:
    loaded = load_model(train_alone(small_recipe.model_copy(update={"tune": "prompt"}), tmp_path).model_folder)
    plain = load_model(small_recipe.init)
    offsets = loaded.model.language_backbone.offsets
    assert offsets is not None
    moved = offsets.weight.detach().abs().sum(dim=1) > 0
    assert 0 < int(moved.sum()) < len(moved)
    text = loaded.tokenizer.encode(["a red square"], 16)
    with torch.inference_mode():
        before, after = (
            one.model.language_backbone(text.ids_BT, text.attention_mask_BT).float() for one in (plain, loaded)
        )
    torch.testing.assert_close(after - before, offsets.weight.detach()[text.ids_BT], atol=1e-5, rtol=1e-4)
    assert not torch.equal(before, after)


def test_a_tuned_prompt_is_tuned_on(small_recipe: TrainRecipe, tmp_path: Path) -> None:
    first = small_recipe.model_copy(update={"tune": "prompt"})
    second = first.model_copy(update={"init": str(train_alone(first, tmp_path / "first").model_folder)})
    assert _changed(second, train_alone(second, tmp_path / "second").model_folder) == {
        "language_backbone.offsets.weight"
    }


def test_a_prompt_that_is_tuned_on_begins_where_it_was(small_recipe: TrainRecipe, tmp_path: Path) -> None:
    first = small_recipe.model_copy(update={"tune": "prompt"})
    folder = train_alone(first, tmp_path).model_folder
    mix = Mix.open(first.mix, first.seed)
    begun = build(first.model_copy(update={"init": str(folder)}), mix, Workers()).raw.state_dict()
    assert all(torch.equal(value, begun[name]) for name, value in load_model(folder).model.state_dict().items())
    mix.close()


def test_every_linear_layer_has_an_update_of_no_higher_rank_than_the_layer(small_recipe: TrainRecipe) -> None:
    mix = Mix.open(small_recipe.mix, small_recipe.seed)
    model = build(small_recipe.model_copy(update={"tune": "lora", "lora_rank": 24}), mix, Workers()).raw
    shapes = [tuple(value.shape) for name, value in model.named_parameters() if name.endswith("original")]
    ranks = [len(value) for name, value in model.named_parameters() if name.endswith(".down")]
    assert ranks == [min(24, *shape) for shape in shapes]
    assert min(ranks) < 24
    assert len(ranks) == sum(isinstance(one, nn.Linear) for one in load_model(small_recipe.init).model.modules())
    mix.close()


def test_a_linear_probe_trains_all_that_comes_after_the_tower_of_the_head(small_recipe: TrainRecipe) -> None:
    mix = Mix.open(small_recipe.mix, small_recipe.seed)
    model = build(small_recipe.model_copy(update={"tune": "linear-probe"}), mix, Workers()).raw
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (name.startswith("rpn.head.") and "dyhead_tower" not in name), name
    mix.close()


def test_low_rank_updates_begin_at_nothing_drawn_by_the_seed_and_count_the_same_at_any_rank(
    small_recipe: TrainRecipe,
) -> None:
    mix, start = Mix.open(small_recipe.mix, small_recipe.seed), load_model(small_recipe.init).model.state_dict()
    drawn = []
    for seed in (0, 0, 1):
        recipe = small_recipe.model_copy(update={"tune": "lora", "seed": seed})
        weights = build(recipe, mix, Workers()).raw.state_dict()
        assert all(torch.equal(value, start[name]) for name, value in plain_weights(weights).items())
        drawn.append(torch.cat([value.flatten() for name, value in weights.items() if name.endswith(".down")]))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    for rank in (1, 4):
        assert low_rank_update(torch.ones(rank, 3), torch.ones(2, rank)).tolist() == [[LORA_ALPHA] * 3] * 2
    mix.close()


def test_merged_updates_answer_as_the_updates_beside_the_weights(small_recipe: TrainRecipe) -> None:
    mix = Mix.open(small_recipe.mix, small_recipe.seed)
    session = build(small_recipe.model_copy(update={"tune": "lora", "lora_rank": 2}), mix, Workers())
    with torch.no_grad():
        for name, parameter in session.raw.named_parameters():
            if name.endswith(".up"):
                parameter.normal_(std=0.02)
    batch = session.data.batch(0)
    merged = load_model(small_recipe.init).model
    merged.load_state_dict(plain_model(session.config, session.raw.state_dict()).state_dict())
    images = torch.rand(2, 3, 64, 64)
    text = (batch.token_ids_bt[:2], batch.attention_mask_bt[:2])
    with torch.inference_mode():
        beside, inside = session.raw.eval()(images, *text), merged(images, *text)
    for one, other in zip(beside.logits + beside.box_regression, inside.logits + inside.box_regression, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    mix.close()


@pytest.mark.parametrize("mode", ["prompt", "lora"])
def test_the_raw_weights_of_a_run_are_those_of_a_plain_model(
    small_recipe: TrainRecipe, tmp_path: Path, mode: str
) -> None:
    folder = train_alone(small_recipe.model_copy(update={"tune": mode}), tmp_path).model_folder
    load_model(folder).model.load_state_dict(raw_weights(tmp_path))


def test_a_few_numbers_are_trained_where_few_are_asked_for(small_recipe: TrainRecipe) -> None:
    mix = Mix.open(small_recipe.mix, small_recipe.seed)
    sizes = {}
    for mode in MODES:
        session = build(small_recipe.model_copy(update={"tune": mode, "lora_rank": 2}), mix, Workers())
        sizes[mode] = sum(one.numel() for group in session.optimizer.param_groups for one in group["params"])
    assert sizes["linear-probe"] < sizes["lora"] < sizes["full"]
    assert sizes["prompt"] == session.config.vocabulary_size * session.config.text_width
    mix.close()
