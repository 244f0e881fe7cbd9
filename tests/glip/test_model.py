"""The model as a whole: what may and what must not change its answers, and that it learns."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from glip.config import GLIPConfig
from glip.fusion import BidirectionalAttention
from glip.losses import GroundingTarget, grounding_losses
from glip.model import GLIP
from glip.postprocess import ground


def prompt(length: int, padding: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask of one prompt."""
    ids = torch.arange(2, 2 + length).unsqueeze(0)
    mask = torch.ones_like(ids, dtype=torch.bool)
    return torch.nn.functional.pad(ids, (0, padding)), torch.nn.functional.pad(mask, (0, padding))


def test_output_has_one_row_per_position_of_every_level(small_model: GLIP) -> None:
    ids, mask = prompt(5)
    output = small_model(torch.randn(1, 3, 96, 128), ids, mask)
    assert output.level_shapes == [(12, 16), (6, 8), (3, 4), (2, 2)]
    assert [tuple(x.shape) for x in output.logits] == [(1, n, 5) for n in (192, 48, 12, 4)]
    assert [tuple(x.shape) for x in output.box_regression] == [(1, n, 4) for n in (192, 48, 12, 4)]
    assert [tuple(x.shape) for x in output.centerness] == [(1, n) for n in (192, 48, 12, 4)]


def test_padding_of_the_text_changes_no_answer(small_model: GLIP) -> None:
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        short, padded = small_model(image, *prompt(5)), small_model(image, *prompt(5, padding=7))
    for ours, theirs in zip(short.logits, padded.logits, strict=True):
        torch.testing.assert_close(ours, theirs[:, :, :5], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(short.box_regression, padded.box_regression, rtol=1e-4, atol=1e-5)


def test_an_image_gives_the_same_answer_alone_and_in_a_batch(small_model: GLIP) -> None:
    images = torch.randn(3, 3, 64, 64)
    ids, mask = prompt(5)
    with torch.no_grad():
        alone = small_model(images[1:2], ids, mask)
        together = small_model(images, ids.expand(3, -1), mask.expand(3, -1))
    for ours, theirs in zip(alone.logits, together.logits, strict=True):
        torch.testing.assert_close(ours[0], theirs[1], rtol=1e-4, atol=1e-5)


def test_a_picture_that_is_asked_several_things_gives_what_it_gives_to_each_alone(small_model: GLIP) -> None:
    images, image_of_prompt = torch.randn(2, 3, 64, 96), torch.tensor([1, 0, 1])
    ids = torch.tensor([[2, 3, 4, 5], [6, 7, 8, 9], [10, 11, 12, 13]])
    mask = torch.ones_like(ids, dtype=torch.bool)
    with torch.no_grad():
        shared = small_model(images, ids, mask, image_B=image_of_prompt)
        apart = small_model(images[image_of_prompt], ids, mask)
    torch.testing.assert_close(shared.logits, apart.logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(shared.box_regression, apart.box_regression, rtol=1e-4, atol=1e-5)


def test_training_and_inference_attention_agree(small_model: GLIP) -> None:
    image = torch.randn(1, 3, 96, 64)
    with_gradients = small_model(image, *prompt(4))
    with torch.no_grad():
        without = small_model(image, *prompt(4))
    torch.testing.assert_close(with_gradients.logits, without.logits, rtol=1e-4, atol=1e-5)


def test_sides_that_are_no_multiples_of_32_are_refused(small_model: GLIP) -> None:
    with pytest.raises(ValueError, match="multiples of 32, got 64x65"):
        small_model(torch.zeros(1, 3, 64, 65), *prompt(3))


def test_a_prompt_longer_than_the_model_is_refused(small_model: GLIP) -> None:
    with pytest.raises(ValueError, match="at most 32 tokens, got 33"):
        small_model(torch.zeros(1, 3, 32, 32), *prompt(33))


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_folded_fusion_equals_the_products_in_the_order_of_the_paper(small_config: GLIPConfig, dropout: float) -> None:
    """With dropout the weights of a token do not sum to one any more."""
    torch.manual_seed(0)
    config, heads = dataclasses.replace(small_config, fusion_dropout=dropout), small_config.fusion_heads
    layer = BidirectionalAttention(config).train().double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    image, text = torch.randn(2, 50, 16).double(), torch.randn(2, 6, 32).double()
    valid = torch.arange(6) < torch.tensor([[6], [4]])
    q, k, values_v, values_l = (
        x.unflatten(-1, (heads, -1)).transpose(1, 2)
        for x in (layer.v_proj(image), layer.l_proj(text), layer.values_v_proj(image), layer.values_l_proj(text))
    )
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    found_image, found_text, seen = _with_what_stays(layer, image, text, valid)
    to_image = scores.masked_fill(~valid[:, None, None, :], float("-inf")).softmax(-1) * seen[0]
    to_text = scores.softmax(-2) * seen[1]
    to_image, to_text = to_image @ values_l, to_text.transpose(-1, -2) @ values_v
    torch.testing.assert_close(found_image, layer.out_v_proj(to_image.transpose(1, 2).flatten(2)))
    torch.testing.assert_close(found_text, layer.out_l_proj(to_text.transpose(1, 2).flatten(2)))


def _with_what_stays(
    layer: BidirectionalAttention, image: torch.Tensor, text: torch.Tensor, valid: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Both answers of a fusion, and what its dropout makes of the weights [B, h, N, T] to each side."""
    torch.manual_seed(1)
    answers = layer(image, text, valid)
    torch.manual_seed(1)
    ones = image.new_ones(len(image), image.shape[1], layer.heads, text.shape[1])
    return *answers, [torch.nn.functional.dropout(ones, layer.dropout).transpose(1, 2) for _ in range(2)]


def test_a_few_steps_on_one_image_ground_its_phrases(small_config: GLIPConfig) -> None:
    torch.manual_seed(0)
    model = GLIP(small_config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    image = torch.zeros(1, 3, 64, 64)
    image[:, 0, 8:32, 8:32], image[:, 2, 36:60, 30:62] = 2.0, 2.0
    ids, mask = prompt(6)
    boxes = torch.tensor([[8.0, 8.0, 31.0, 31.0], [30.0, 36.0, 61.0, 59.0]])
    token_map = torch.zeros(2, 6, dtype=torch.bool)
    token_map[0, 1] = token_map[1, 3] = True
    for _ in range(60):
        losses = grounding_losses(model(image, ids, mask), [GroundingTarget(boxes, token_map)], mask, small_config)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        found = ground(model(image, ids, mask), [[[1], [3]]], [(64, 64)], [(64, 64)], small_config)[0]
    for phrase in (0, 1):
        best = found.boxes_xyxy_K4[found.phrase_index_K == phrase][0]
        assert (best - boxes[phrase]).abs().max() < 8, f"phrase {phrase} was found at {best.tolist()}"


def test_bfloat16_autocast_gives_finite_losses_and_gradients(small_model: GLIP, small_config: GLIPConfig) -> None:
    ids, mask = prompt(4)
    target = GroundingTarget(torch.tensor([[4.0, 4.0, 40.0, 50.0]]), torch.tensor([[False, True, False, False]]))
    small_model.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = small_model(torch.randn(1, 3, 64, 64), ids, mask)
    losses = grounding_losses(output, [target], mask, small_config)
    torch.stack(list(losses.values())).sum().backward()
    assert all(value.dtype == torch.float32 and value.isfinite() for value in losses.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in small_model.parameters())


def test_nano_stays_within_its_budget() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in GLIP(GLIPConfig.nano()).parameters()) <= 5_000_000


def test_frozen_stages_stay_frozen_and_in_evaluation_mode(small_config: GLIPConfig) -> None:
    model = GLIP(dataclasses.replace(small_config, frozen_swin_stages=1)).train()
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen
    assert all(name.startswith(("backbone.body.patch_embed", "backbone.body.layers.0")) for name in frozen)
    body = model.backbone.body
    assert body.training
    assert not body.patch_embed.training
    assert not body.layers[0].training


@pytest.mark.data
@pytest.mark.parametrize(("name", "config"), [("glip_t", GLIPConfig.tiny()), ("glip_l", GLIPConfig.large())])
def test_keys_and_shapes_are_those_of_the_published_checkpoints(
    fixtures_folder: Path, name: str, config: GLIPConfig
) -> None:
    path = fixtures_folder / f"keys_{name}.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    published = json.loads(path.read_text())
    with torch.device("meta"):
        model = GLIP(config)
    unused = {"rpn.head.cls_logits.weight", "rpn.head.cls_logits.bias"}
    wanted = {k: shape for k, (_, shape) in published["keys"].items() if k not in {*published["constants"], *unused}}
    assert {key: list(value.shape) for key, value in model.state_dict().items()} == wanted
    frozen = {key for key, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == set(published["frozen_never_trained"]) - unused
