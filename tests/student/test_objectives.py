"""Added objectives inside a run: they learn, resume, split, leave saved models as they are, and are off by default."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from engine.mix import Mix, names, wordnet
from glip.checkpoint import load_model
from glip.head import GLIPOutput
from glip.losses import grounding_losses
from glip.masked_language import NOT_MASKED
from glip.preprocess import pad_batch
from schemas.recipes import TrainRecipe
from student.collate import Batch, split_batch
from student.objectives import OBJECTIVES
from student.parts import parts_of_step
from student.picture_words import PictureWords
from student.process_group import DistributedWorkers, ShardedWorkers
from student.session import Session, build
from student.step import forward_losses, train_step
from student.trainer import run
from student.training_log import LOSSES
from student.workers import Workers

ALL: dict[str, Any] = {"region_word_contrast": 1.0, "masked_language": 0.5, "granular_alignment": 1.0}
NAMES = {
    *("loss_region_word", "loss_masked_language"),
    *("loss_granular_contrast", "loss_granular_match", "loss_granular_box"),
}

GLIPS = {"loss_token", "loss_box", "loss_centerness"}


def _session(recipe: TrainRecipe) -> tuple[Session, Mix]:
    mix = Mix.open(recipe.mix, recipe.seed)
    return build(recipe, mix, Workers()), mix


def _train(recipe: TrainRecipe, out: Path, **options: Any) -> list[dict[str, float]]:
    mix = Mix.open(recipe.mix, recipe.seed)
    try:
        run(recipe, mix, out, identity="me", metadata={}, **options)
    finally:
        mix.close()
    return [json.loads(line) for line in (out / LOSSES).read_text().splitlines()]


def _losses(session: Session, batch: Batch) -> dict[str, torch.Tensor]:
    [part] = parts_of_step(batch, session.recipe, session.config, session.workers)
    return forward_losses(session, part)


def test_without_options_the_losses_are_those_of_glip_alone(small_recipe: TrainRecipe) -> None:
    session, mix = _session(small_recipe)
    batch = session.data.batch(0)
    assert batch.words is None
    torch.manual_seed(0)
    losses = _losses(session, batch)
    torch.manual_seed(0)
    output = session.raw(pad_batch(batch.images, batch.shape_hw), batch.token_ids_bt, batch.attention_mask_bt)
    plain = grounding_losses(output, batch.targets, batch.attention_mask_bt, session.config)
    assert losses.keys() == plain.keys()
    assert all(torch.equal(losses[name], plain[name]) for name in plain)
    assert not hasattr(session.raw, OBJECTIVES)
    mix.close()


def test_every_objective_gives_a_loss_and_a_gradient_to_each_of_its_weights(small_recipe: TrainRecipe) -> None:
    session, mix = _session(small_recipe.model_copy(update=ALL | {"masked_share": 0.4, "caption_negatives": 2}))
    losses = _losses(session, session.data.batch(0))
    assert losses.keys() == NAMES | GLIPS
    assert all(loss.isfinite() and loss.item() > 0 for loss in losses.values())
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    without = [name for name, weight in session.raw.named_parameters() if weight.grad is None]
    assert without == []
    mix.close()


@pytest.mark.parametrize("name", ALL)
def test_each_objective_alone_adds_its_own_losses_and_no_other_times_its_weight(
    name: str, small_recipe: TrainRecipe
) -> None:
    found = []
    for weight in (1.0, 3.0):
        session, mix = _session(small_recipe.model_copy(update={name: weight}))
        torch.manual_seed(0)
        losses = _losses(session, session.data.batch(0))
        found.append({loss: value for loss, value in losses.items() if loss not in GLIPS})
        mix.close()
    assert found[0].keys() == {loss for loss in NAMES if loss.split("_")[1] == name.split("_")[0]}
    for loss, value in found[0].items():
        assert value > 0
        torch.testing.assert_close(found[1][loss], 3 * value)


def test_losses_of_parts_add_up_to_means_over_pairs_of_each_part_and_over_tokens_and_boxes_of_all(
    small_recipe: TrainRecipe,
) -> None:
    session, mix = _session(small_recipe.model_copy(update=ALL | {"accumulation": 2, "masked_share": 0.4}))
    plain, other = _session(small_recipe.model_copy(update=ALL | {"masked_share": 0.4}))
    batch, sums, means = session.data.batch(0), dict.fromkeys(NAMES, 0.0), dict.fromkeys(NAMES, 0.0)
    whole = _losses(plain, batch)
    for part in parts_of_step(batch, session.recipe, session.config, session.workers):
        torch.manual_seed(0)
        mine = forward_losses(session, part)
        torch.manual_seed(0)
        alone = _losses(plain, part.batch)
        for name in NAMES:
            sums[name] += mine[name].item()
            means[name] += alone[name].item() / 2
    pairs = {"loss_region_word", "loss_granular_contrast", "loss_granular_match"}
    for name in NAMES:
        expected = means[name] if name in pairs else whole[name].item()
        assert sums[name] == pytest.approx(expected, rel=1e-4), name
    mix.close()
    other.close()


@pytest.mark.parametrize("name", ALL)
def test_contrasts_see_the_towers_before_the_fusion_and_masked_words_are_told_after_it(
    name: str, small_recipe: TrainRecipe
) -> None:
    session, mix = _session(small_recipe.model_copy(update={name: 1.0, "masked_share": 0.4}))
    losses = _losses(session, session.data.batch(0))
    own = [loss for loss in losses if loss not in GLIPS]
    torch.stack([losses[loss] for loss in own]).sum().backward()  # type: ignore[no-untyped-call]
    moved = {weight for weight, value in session.raw.named_parameters() if value.grad is not None and value.grad.any()}
    assert any("dyhead_tower" in weight for weight in moved) == (name == "masked_language")
    assert any(weight.startswith("backbone.body") for weight in moved)
    assert any(weight.startswith("language_backbone") for weight in moved)
    mix.close()


def test_patches_of_the_granular_losses_cover_the_picture(small_recipe: TrainRecipe) -> None:
    session, mix = _session(small_recipe.model_copy(update={"granular_alignment": 1.0}))
    batch, seen = session.data.batch(0), []
    session.raw.objectives.granular.register_forward_pre_hook(lambda head, given: seen.append((given[0], given[3])))
    _losses(session, batch)
    [(patches_BCHW, stride)] = seen
    assert stride == 16, "the patch size of X-VLM's towers"
    assert tuple(side * stride for side in patches_BCHW.shape[2:]) == batch.shape_hw
    mix.close()


def test_texts_of_boxes_and_pictures_are_read_whole_and_in_the_precision_of_the_towers(
    small_recipe: TrainRecipe,
) -> None:
    session, mix = _session(small_recipe.model_copy(update={"granular_alignment": 1.0, "precision": "bf16"}))
    batch, asked = session.data.batch(0), []
    session.raw.language_backbone.register_forward_pre_hook(
        lambda tower, given: asked.append((given[0], torch.is_autocast_enabled("cpu")))
    )
    _losses(session, batch)
    texts = [text for picture in batch.words or [] for text in picture.texts]
    [(prompts, _), (read, _)] = asked
    assert torch.equal(prompts, batch.token_ids_bt)
    assert torch.equal(read, session.tokenizer.encode(texts, session.config.max_tokens).ids_BT)
    assert all(in_bf16 for _, in_bf16 in asked)
    mix.close()


def test_regions_are_what_the_tower_gives_at_the_anchors_of_the_boxes_with_the_words_that_name_them(
    small_recipe: TrainRecipe,
) -> None:
    session, mix = _session(small_recipe.model_copy(update={"region_word_contrast": 1.0}))
    answers: list[GLIPOutput] = []
    seen: list[tuple[torch.Tensor, ...]] = []
    session.raw.register_forward_hook(lambda model, given, answer: answers.append(answer))
    session.raw.objectives.contrast.register_forward_pre_hook(lambda head, given: seen.append(given))
    [part] = parts_of_step(session.data.batch(0), session.recipe, session.config, session.workers)
    forward_losses(session, part)
    positives, features = part.positives, answers[0].features
    assert features is not None
    assert len(set(positives.image_P.tolist())) > 1
    pictures = [torch.cat([one[image].flatten(1) for one in features.maps], dim=1) for image in range(4)]
    places = zip(positives.image_P.tolist(), positives.anchor_P.tolist(), strict=True)
    assert torch.equal(seen[0][0], torch.stack([pictures[image][:, anchor] for image, anchor in places]))
    assert torch.equal(seen[0][1], positives.image_P)
    assert torch.equal(seen[0][2], positives.token_map_PT)
    mix.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # NLTK's own
def test_what_may_mean_the_same_is_what_the_recipes_synonyms_say(
    small_recipe: TrainRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = {"sofa": frozenset({"zebra"}), "zebra": frozenset({"zebra"})}
    monkeypatch.setitem(names.SOURCES, "wordnet", (lambda word: same.get(word, frozenset()), lambda word: frozenset()))
    monkeypatch.setattr(wordnet, "open_wordnet", lambda: None)
    session, mix = _session(small_recipe.model_copy(update=ALL | {"synonyms": "wordnet"}))
    for relations in (session.data.relations, session.raw.objectives.relations):
        assert relations.unrelated(["sofa", "couch"], ["zebra"]) == ["couch"]
    mix.close()


def test_words_of_a_batch_travel_with_its_parts(small_recipe: TrainRecipe) -> None:
    session, mix = _session(small_recipe.model_copy(update=ALL))
    batch = session.data.batch(0)
    assert batch.words is not None
    parts = split_batch(batch, 2)
    assert [len(part.words or []) for part in parts] == [2, 2]
    assert [len(part.images) for part in split_batch(batch, 3)] == [1, 1, 2], "none is left out"
    assert all(bool(loss.isfinite()) for part in parts for loss in _losses(session, part).values())
    mix.close()


def test_captions_are_masked_in_what_is_read_and_told_where_they_were(small_recipe: TrainRecipe) -> None:
    plain, mix = _session(small_recipe)
    before = plain.data.batch(1)
    for share in (0.3, 0.9):
        masked, other = _session(small_recipe.model_copy(update={"masked_language": 1.0, "masked_share": share}))
        after = masked.data.batch(1)
        told = torch.stack([picture.told_T for picture in after.words or []])
        chosen = told != NOT_MASKED
        assert torch.equal(told[chosen], before.token_ids_bt[chosen])
        assert torch.equal(after.token_ids_bt[~chosen], before.token_ids_bt[~chosen])
        words = before.attention_mask_bt.sum() - 2 * len(told)
        assert float(chosen.sum() / words) == pytest.approx(share, abs=0.15)
        assert not chosen[:, 0].any()
        ends = before.attention_mask_bt.sum(dim=1, keepdim=True) - 1
        assert not chosen.gather(1, ends).any()
        other.close()
    read = after.token_ids_bt[chosen]
    strange = read[(read != told[chosen]) & (read != plain.tokenizer.special_ids["[MASK]"])]
    assert len(set(strange.tolist())) > 1, "some words become others, whichever the vocabulary has"
    mix.close()


def test_a_run_with_all_objectives_resumes_to_the_same_losses_and_saves_a_plain_model(
    small_recipe: TrainRecipe, tmp_path: Path
) -> None:
    recipe = small_recipe.model_copy(update=ALL)
    whole = _train(recipe, tmp_path / "whole")
    _train(recipe.model_copy(update={"steps": 3}), tmp_path / "short")

    def stop(done: int, figures: dict[str, float]) -> None:
        if done == 5:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        _train(recipe, tmp_path / "parts", report=stop)
    parts = _train(recipe, tmp_path / "parts")
    for one, other in zip(whole, parts, strict=True):
        assert {name: one[name] for name in NAMES} == {name: other[name] for name in NAMES}
    loaded = load_model(tmp_path / "parts" / "model")
    assert not any(name.startswith(OBJECTIVES) for name in loaded.model.state_dict())


def test_a_worker_without_a_box_or_a_caption_goes_the_way_of_the_others(small_recipe: TrainRecipe) -> None:
    """With FSDP all workers ask the text tower together, also one that has nothing to ask."""
    session, mix = _session(small_recipe.model_copy(update=ALL))
    asked: list[int] = []
    session.raw.language_backbone.register_forward_hook(lambda *_: asked.append(1))
    batch = session.data.batch(0)
    words = [dataclasses.replace(one, texts=(), **_no_rows(one)) for one in batch.words or []]
    losses = _losses(session, dataclasses.replace(batch, words=words))
    assert len(asked) == 2
    assert all(losses[f"loss_granular_{name}"].item() == 0 for name in ("contrast", "match", "box"))
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is not None for weight in session.raw.parameters())
    mix.close()


def test_objectives_in_bf16_are_near_those_in_fp32(small_recipe: TrainRecipe) -> None:
    found = []
    for precision in ("fp32", "bf16"):
        session, mix = _session(small_recipe.model_copy(update=ALL | {"precision": precision}))
        torch.manual_seed(0)
        found.append(_losses(session, session.data.batch(0)))
        mix.close()
    assert all(loss.dtype == torch.float32 for loss in found[1].values())
    for name in NAMES - {"loss_granular_match"}:  # whose wrong pairs are drawn by similarity
        assert found[1][name].item() == pytest.approx(found[0][name].item(), rel=0.05), name


def _no_rows(words: PictureWords) -> dict[str, torch.Tensor]:
    return {name: getattr(words, name)[:0] for name in ("boxes_xyxy_K4", "label_K", "locate_K")}


@pytest.mark.filterwarnings("ignore:FSDP2-wrapped module")  # the output of the model is cut from one tensor
@pytest.mark.parametrize("workers", [DistributedWorkers, ShardedWorkers])
def test_steps_of_a_process_group_are_those_of_one_process(
    workers: type[DistributedWorkers], small_recipe: TrainRecipe
) -> None:
    """The heads work outside of the wrapped forward. DDP refuses a second step where a parameter had no gradient."""
    recipe = small_recipe.model_copy(update=ALL)
    mix = Mix.open(recipe.mix, recipe.seed)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        session = build(recipe, mix, workers(torch.device("cpu")))
        losses = [train_step(session, session.data.batch(step), step) for step in range(3)]
    finally:
        dist.destroy_process_group()
        mix.close()
    plain, mix = _session(recipe)
    alone = [train_step(plain, plain.data.batch(step), step) for step in range(3)]
    for one, other in zip(losses, alone, strict=True):
        torch.testing.assert_close(one, other)
    mix.close()
