"""A random model with published towers: they arrive whole, under their publishers' names, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from glip.checkpoint import load_model
from glip.model import GLIP
from schemas.recipes import TrainRecipe
from student.warm_start import IMAGE_TOWER, TEXT_TOWER, load_image_tower, load_text_tower


@pytest.fixture
def models(small_recipe: TrainRecipe) -> tuple[GLIP, GLIP]:
    """One whose towers are published, one that begins at random."""
    source = load_model(small_recipe.init).model
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return source, GLIP(source.config)


def _tower(model: GLIP, prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): v for name, v in model.state_dict().items() if name.startswith(prefix)}


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_a_swin_with_its_classifier_becomes_the_image_tower(
    models: tuple[GLIP, GLIP], tmp_path: Path, prefix: str
) -> None:
    source, model = models
    swin = {name: v for name, v in _tower(source, IMAGE_TOWER).items() if name[:5] not in ("norm1", "norm2", "norm3")}
    extra = {
        "norm.weight": torch.ones(3),
        "head.weight": torch.ones(2, 3),
        "layers.0.blocks.1.attn_mask": torch.ones(1),
    }
    published = {prefix + name: value for name, value in (swin | extra).items()}
    torch.save({"model": published}, tmp_path / "swin.pth")
    head = model.rpn["head"].bbox_pred.weight.clone()
    load_image_tower(model, tmp_path / "swin.pth")
    after = _tower(model, IMAGE_TOWER)
    assert all(torch.equal(after[name], value) for name, value in swin.items())
    assert torch.equal(model.rpn["head"].bbox_pred.weight, head)


@pytest.mark.parametrize("rename", [lambda name: name, lambda name: f"bert.{name}", lambda name: _first_release(name)])
def test_a_bert_becomes_the_text_tower_whatever_its_names(
    models: tuple[GLIP, GLIP], tmp_path: Path, rename: Callable[[str], str]
) -> None:
    source, model = models
    bert = _tower(source, TEXT_TOWER)
    save_file({rename(name): value for name, value in bert.items()}, tmp_path / "bert.safetensors")
    load_text_tower(model, tmp_path / "bert.safetensors")
    assert all(torch.equal(value, bert[name]) for name, value in _tower(model, TEXT_TOWER).items())


def _first_release(name: str) -> str:
    return "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def test_a_file_of_something_else_is_refused_and_changes_nothing(models: tuple[GLIP, GLIP], tmp_path: Path) -> None:
    source, model = models
    before = {name: value.clone() for name, value in model.state_dict().items()}
    bert = _tower(source, TEXT_TOWER)
    first = next(iter(bert))
    faults = {
        "missing": {name: value for name, value in bert.items() if name != first},
        "of another size": {**bert, first: torch.ones(2, 2)},
        "not finite": {**bert, first: torch.full_like(bert[first], torch.nan)},
    }
    for fault, tensors in faults.items():
        save_file(tensors, tmp_path / "bert.safetensors")
        with pytest.raises(ValueError, match=f"1 entries {fault}"):
            load_text_tower(model, tmp_path / "bert.safetensors")
    with pytest.raises(ValueError, match="does not exist"):
        load_image_tower(model, tmp_path / "none.pth")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
