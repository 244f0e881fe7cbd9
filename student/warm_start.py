"""Published image and text towers for a model whose other weights are random.

In: a Swin (ImageNet) for the image tower, a BERT for the text tower, each a ``.pth`` or ``.safetensors`` file with its
publisher's names. Out: the model with these towers; fusion, pyramid and head stay random, as at the start of GLIP's
training.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from glip.fitting import first_of
from glip.weight_files import read_weights

IMAGE_TOWER, TEXT_TOWER = "backbone.body.", "language_backbone.body.model."
FRESH_NORMS = ("norm1.", "norm2.", "norm3.")  # of output maps that a classifier does not have


def load_image_tower(model: nn.Module, path: str | Path) -> None:
    """Load a published Swin into the image tower. ValueError where the file is missing, damaged or another model's."""
    _load(model, IMAGE_TOWER, Path(path), _swin_name)


def load_text_tower(model: nn.Module, path: str | Path) -> None:
    """Load a published BERT into the text tower. ValueError where the file is missing, damaged or another model's."""
    _load(model, TEXT_TOWER, Path(path), _bert_name)


def _swin_name(name: str) -> str:
    return name.removeprefix("backbone.")


def _bert_name(name: str) -> str:
    """BERT's first release calls the weight and bias of a norm gamma and beta."""
    name = name.removeprefix("bert.")
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


@torch.no_grad()
def _load(model: nn.Module, tower: str, path: Path, own_name: Callable[[str], str]) -> None:
    if not path.is_file():
        raise ValueError(f"{path} does not exist; give the file of the published tower")
    found = {own_name(name): value for name, value in read_weights(path).tensors.items()}
    wanted = {name.removeprefix(tower): value for name, value in model.state_dict().items() if name.startswith(tower)}
    _check(found, wanted, path)
    for name, value in wanted.items():
        if name in found:
            value.copy_(found[name])


def _check(found: dict[str, Tensor], wanted: dict[str, Tensor], path: Path) -> None:
    missing = [name for name in wanted if name not in found and not name.startswith(FRESH_NORMS)]
    other = [name for name, value in wanted.items() if name in found and found[name].shape != value.shape]
    damaged = [name for name in wanted if name in found and not bool(found[name].isfinite().all())]
    for names, fault in ((missing, "missing"), (other, "of another size"), (damaged, "not finite")):
        if names:
            raise ValueError(f"{path} is not a tower for this model: {len(names)} entries {fault}: {first_of(names)}")
