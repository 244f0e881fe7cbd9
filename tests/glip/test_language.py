"""The text tower and what is kept of it: a kept answer is a fresh one, whoever stands beside it."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from glip.config import GLIPConfig
from glip.language import LanguageBackbone, TextFeatureCache, TextLayer
from glip.model import GLIP
from glip.tokens import PADDED_LENGTHS, padded_length


def prompts_of(*lengths: int) -> tuple[Tensor, Tensor]:
    """Ids (from 5 upward, so that prompts of equal length are equal) and mask, padded to the longest."""
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    return torch.arange(5, 5 + max(lengths)) * mask, mask


class CountingTower(torch.nn.Module):
    """The model's tower, and the shapes it was asked for."""

    def __init__(self, model: GLIP) -> None:
        super().__init__()
        self.tower, self.shapes = model.language_backbone, []

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        self.shapes.append(tuple(ids.shape))
        return self.tower(ids, mask)


@pytest.mark.parametrize("rows", [1, 3])
def test_kept_text_features_equal_the_towers_and_padding_is_zero(small_model: GLIP, rows: int) -> None:
    ids, mask = prompts_of(4, 9, 4, 7, 12)
    cache = TextFeatureCache(small_model.language_backbone, rows=rows)
    with torch.inference_mode():
        wanted = small_model.language_backbone(ids, mask)
    found = cache(ids, mask)
    torch.testing.assert_close(found[mask], wanted[mask], rtol=1e-4, atol=1e-5)
    assert torch.equal(found[~mask], torch.zeros_like(found[~mask]))
    assert torch.equal(cache(ids, mask), found)


@pytest.mark.parametrize("rows", [1, 4])
def test_a_prompts_features_are_the_same_bits_whoever_stands_beside_it(small_model: GLIP, rows: int) -> None:
    ids, mask = prompts_of(3, 11, 6)
    tower = small_model.language_backbone
    together = TextFeatureCache(tower, rows=rows)(ids, mask)
    for number in (2, 0, 1):
        alone = TextFeatureCache(tower, rows=rows)(ids[number : number + 1], mask[number : number + 1])
        assert torch.equal(alone[0], together[number])


def test_each_distinct_prompt_goes_through_the_tower_once(small_model: GLIP) -> None:
    tower = CountingTower(small_model)
    cache = TextFeatureCache(tower, rows=2)
    for _ in range(3):
        cache(*prompts_of(4, 4, 5, 6, 20))
    assert tower.shapes == [(2, 8), (2, 8), (2, 24)]


def test_the_prompts_used_last_are_kept_and_no_more(small_model: GLIP) -> None:
    tower = CountingTower(small_model)
    cache = TextFeatureCache(tower, capacity=2)
    for length in (4, 5, 4, 6, 4, 5):  # 6 drives out 5, the one not used for longest
        cache(*prompts_of(length))
    assert len(tower.shapes) == 4
    assert cache(*prompts_of(4, 5, 6, 7)).shape[:2] == (4, 7)  # more at once than are kept


def test_padding_before_a_token_is_refused(small_model: GLIP) -> None:
    with pytest.raises(ValueError, match="before the padding"):
        TextFeatureCache(small_model.language_backbone)(torch.ones(1, 3).long(), torch.tensor([[True, False, True]]))


def test_a_model_given_its_text_features_answers_as_without(small_model: GLIP) -> None:
    ids, mask = prompts_of(6, 4)
    images = torch.randn(2, 3, 64, 64)
    cache = TextFeatureCache(small_model.language_backbone)
    with torch.inference_mode():
        wanted, found = small_model(images, ids, mask), small_model(images, ids, mask, cache(ids, mask))
    for ours, theirs in zip(found.logits, wanted.logits, strict=True):
        torch.testing.assert_close(ours.movedim(2, 1)[mask], theirs.movedim(2, 1)[mask], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.box_regression, wanted.box_regression, rtol=1e-4, atol=1e-5)


def test_padded_lengths_are_the_next_step() -> None:
    assert [padded_length(n) for n in (1, 8, 9, 16, 17, 200, 256, 300)] == [8, 8, 16, 16, 24, 256, 256, 300]
    assert list(PADDED_LENGTHS) == sorted(set(PADDED_LENGTHS))


def test_in_training_attention_and_both_outputs_of_a_layer_of_the_head_drop_each_by_itself(
    small_config: GLIPConfig,
) -> None:
    layer = TextLayer(dataclasses.replace(small_config, text_dropout=0.5)).train()
    text, valid = torch.randn(1, 6, small_config.text_width), torch.ones(1, 6, dtype=torch.bool)
    places = [layer.attention["self"], layer.attention["output"], layer.output]
    assert [place.dropout for place in places] == [0.5] * 3
    for chosen in (*places, None):
        for place in places:
            place.dropout = 0.5 if place is chosen else 0.0
        assert torch.equal(layer(text, valid), layer(text, valid)) == (chosen is None)
    for place in places:
        place.dropout = 0.5
    assert torch.equal(layer.eval()(text, valid), layer(text, valid))


def test_berts_layers_drop_as_often_as_the_config_says(small_config: GLIPConfig) -> None:
    tower = LanguageBackbone(dataclasses.replace(small_config, text_dropout=0.25))
    drops = {name: one.p for name, one in tower.named_modules() if isinstance(one, torch.nn.Dropout)}
    assert set(drops.values()) == {0.25}
    assert any(name.endswith("attention.self.dropout") for name in drops)
