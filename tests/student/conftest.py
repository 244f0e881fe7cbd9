"""A small world for the student: drawn scenes as a dataset, and a model that is quick to train."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from engine.artifacts import Store
from engine.gold import import_gold
from engine.mix import Mix
from engine.shards import ShardReader
from glip.checkpoint import LoadedModel, load_model, save_model
from glip.config import GLIPConfig
from glip.model import GLIP
from glip.tokens import PromptTokenizer, train_tokenizer
from schemas.recipes import MixEntry, OptimizerRecipe, ScenesSource, TrainRecipe


@pytest.fixture(scope="session")
def scenes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 12 scenes in two shards."""
    folder = tmp_path_factory.mktemp("datasets") / "scenes"
    import_gold("scenes", ScenesSource(count=12, seed=3), folder, unit_size=8)
    return folder


@pytest.fixture(scope="session")
def small_tokenizer(scenes_folder: Path) -> PromptTokenizer:
    store = Store(scenes_folder)
    captions = [ShardReader(store, unit).labels(row).caption for unit in (0, 1) for row in range(4)]
    return train_tokenizer(captions, 200)


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory, small_tokenizer: PromptTokenizer) -> Path:
    """A checkpoint with random weights and without dropout, since dropout differs from worker to worker."""
    config = dataclasses.replace(
        GLIPConfig.nano(),
        name="small",
        vocabulary_size=small_tokenizer.vocabulary_size,
        swin_embed_dim=16,
        swin_depths=(1, 1, 1, 1),
        swin_drop_path=0.0,
        channels=32,
        num_levels=3,
        text_width=32,
        text_layers=1,
        text_intermediate=64,
        text_dropout=0.0,
        head_layers=1,
        fusion_width=32,
        fusion_heads=2,
    )
    torch.manual_seed(0)
    return save_model(tmp_path_factory.mktemp("models") / "small", GLIP(config), small_tokenizer, {})


@pytest.fixture(scope="session")
def small_recipe(scenes_folder: Path, small_model: Path) -> TrainRecipe:
    """Six steps of four small pictures."""
    return TrainRecipe(
        mix=(MixEntry(dataset=str(scenes_folder)),),
        init=str(small_model),
        steps=6,
        batch_size=4,
        min_sizes=(64, 96),
        max_size=128,
        color_jitter=0.2,
        optimizer=OptimizerRecipe(lr=1e-3, text_lr_factor=1.0, warmup_steps=2, schedule="cosine"),
        checkpoint_every=3,
        log_every=1,
        loader_threads=0,
    )


@pytest.fixture
def loaded(small_model: Path) -> LoadedModel:
    return load_model(small_model)


@pytest.fixture
def mix(small_recipe: TrainRecipe) -> Iterator[Mix]:
    mix = Mix.open(small_recipe.mix, small_recipe.seed)
    yield mix
    mix.close()
