"""Masking by BERT's shares, and the loss of telling what stood there."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from glip.masked_language import NOT_MASKED, MaskedLanguageHead, mask_tokens

MASK, VOCABULARY = 4, 50


def _mask(ids: torch.Tensor, seed: int = 0, share: float = 0.15) -> tuple[torch.Tensor, torch.Tensor]:
    maskable = ids > 2
    random = np.random.default_rng(seed)
    return mask_tokens(ids, maskable, share=share, mask_id=MASK, vocabulary=VOCABULARY, random=random)


def test_shares_are_those_of_bert_and_nothing_else_is_touched() -> None:
    ids = torch.full((40_000,), 30)
    ids[::4] = 1  # special
    read, told = _mask(ids)
    chosen = told != NOT_MASKED
    assert not chosen[::4].any()
    assert chosen.float().sum() / 30_000 == pytest.approx(0.15, abs=0.01)
    assert (told[chosen] == 30).all()
    assert torch.equal(read[~chosen], ids[~chosen])
    assert (read[chosen] == MASK).float().mean() == pytest.approx(0.8 + 0.1 / VOCABULARY, abs=0.02)
    assert (read[chosen] == 30).float().mean() == pytest.approx(0.1 + 0.1 / VOCABULARY, abs=0.02)
    assert set(read[chosen].tolist()) == set(range(VOCABULARY)), "the others are any of the vocabulary"


def test_the_same_seed_masks_the_same() -> None:
    ids = torch.arange(3, 40)
    assert all(torch.equal(one, other) for one, other in zip(_mask(ids, 5, 0.5), _mask(ids, 5, 0.5), strict=True))
    assert not torch.equal(_mask(ids, 5, 0.5)[0], _mask(ids, 6, 0.5)[0])


def test_the_loss_is_the_mean_cross_entropy_over_masked_tokens_alone() -> None:
    torch.manual_seed(0)
    head = MaskedLanguageHead(8, VOCABULARY)
    text, embeddings = torch.randn(2, 3, 8), torch.randn(VOCABULARY, 8)
    told = torch.full((2, 3), NOT_MASKED)
    told[0, 1], told[1, 2] = 7, 21
    expected = 0.0
    for (row, column), word in {(0, 1): 7, (1, 2): 21}.items():
        hidden = head.norm(F.gelu(head.dense(text[row, column])))
        scores = embeddings @ hidden + head.bias
        expected += (scores.logsumexp(0) - scores[word]) / 2
    torch.testing.assert_close(head(text, told, embeddings), expected)


def test_a_fresh_head_without_bias_knows_nothing() -> None:
    head = MaskedLanguageHead(8, VOCABULARY)
    told = torch.tensor([[3, NOT_MASKED]])
    assert head(torch.randn(1, 2, 8), told, torch.zeros(VOCABULARY, 8)).item() == pytest.approx(math.log(VOCABULARY))


def test_without_a_masked_token_the_loss_is_zero_with_gradients() -> None:
    head = MaskedLanguageHead(8, VOCABULARY)
    embeddings = torch.randn(VOCABULARY, 8, requires_grad=True)
    loss = head(torch.randn(2, 3, 8), torch.full((2, 3), NOT_MASKED), embeddings)
    loss.backward()
    assert loss.item() == 0
    assert all(parameter.grad is not None for parameter in (*head.parameters(), embeddings))
