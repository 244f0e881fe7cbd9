"""A model of the smallest size that still has every part, and a vocabulary for it."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from glip.config import GLIPConfig
from glip.model import GLIP
from glip.tokens import PromptTokenizer, train_tokenizer

SENTENCES = ["a dog and two cats", "the café has a red door", "person. bicycle. traffic light", "a woman's hat"]


@pytest.fixture(scope="session")
def tokenizer() -> PromptTokenizer:
    return train_tokenizer(SENTENCES, 200)


@pytest.fixture(scope="session")
def small_config() -> GLIPConfig:
    return dataclasses.replace(
        GLIPConfig.nano(),
        name="small",
        swin_embed_dim=16,
        swin_depths=(1, 2, 1, 1),
        swin_heads=(1, 1, 2, 2),
        swin_window=4,
        channels=16,
        vocabulary_size=200,
        text_width=32,
        text_layers=1,
        text_intermediate=32,
        text_positions=64,
        max_tokens=32,
        head_layers=2,
        fusion_width=32,
        text_dropout=0.0,
    )


@pytest.fixture
def small_model(small_config: GLIPConfig) -> GLIP:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return GLIP(small_config).eval()


@pytest.fixture
def exact_model(small_config: GLIPConfig, tokenizer: PromptTokenizer) -> GLIP:
    """A small model with as many embeddings as its vocabulary has words, as published models have."""
    config = dataclasses.replace(small_config, vocabulary_size=tokenizer.vocabulary_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return GLIP(config).eval()
