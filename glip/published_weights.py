"""What is in a published GLIP checkpoint: its entries under this model's keys.

In: a published file. Out: its config, its weights, and a record of what was read and what was left out.
Source: the model zoo of GLIP (Li et al., CVPR 2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from glip.config import GLIPConfig
from glip.fitting import check_shapes
from glip.published import PUBLISHED
from glip.weight_files import read_weights

# In published files, but not in this model: constants that are recomputed, the pooler, and `cls_logits`, which was
# never trained and never influences a result.
_LEFT_OUT = (
    ".relative_position_index",
    ".cell_anchors.",
    ".embeddings.position_ids",
    ".embeddings.token_type_ids",
    ".model.pooler.",
    "rpn.head.cls_logits.",
)
_WIDTH_KEY = "backbone.body.patch_embed.proj.weight"


@dataclass(frozen=True)
class PublishedWeights:
    """weights: under this model's keys, their shapes checked. record: JSON values that say what was read: file,
    sha256, entries, left_out (entries this model does not have) and others (parts beside the model, with the number of
    tensors in each)."""

    config: GLIPConfig
    weights: dict[str, Tensor]
    record: dict[str, Any]


def read_published(path: Path, config: GLIPConfig | None, sha256: str) -> PublishedWeights:
    """Read a published file; its config goes by the width of its first layer where None is given.

    Raises: ValueError where it is not such a file, or of another size.
    """
    file = read_weights(path)
    weights = rename_published(file.tensors)
    config = config or _config_by_width(weights, path)
    check_shapes({key: tuple(value.shape) for key, value in weights.items()}, config, path)
    left_out = sorted(key for key in _without_prefix(file.tensors) if key not in weights)
    record = {
        "file": path.name,
        "sha256": sha256,
        "entries": len(file.tensors),
        "left_out": left_out,
        "others": file.others,
    }
    return PublishedWeights(config, weights, record)


def rename_published(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Published entries under our keys: without the `module.` of distributed training and what this model lacks."""
    named = _without_prefix(tensors).items()
    return {key: value for key, value in named if not any(part in key for part in _LEFT_OUT)}


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    prefix = "module." if all(key.startswith("module.") for key in tensors) else ""
    return {key.removeprefix(prefix): value for key, value in tensors.items()}


def _config_by_width(weights: dict[str, Tensor], path: Path) -> GLIPConfig:
    found = weights.get(_WIDTH_KEY)
    width = found.shape[0] if found is not None and found.dim() == 4 else None
    for model in PUBLISHED.values():
        if model.config.swin_embed_dim == width:
            return model.config
    known = ", ".join(f"{name} ({model.config.swin_embed_dim})" for name, model in PUBLISHED.items())
    raise ValueError(
        f"{path}: {_WIDTH_KEY} has {width} channels; published models are {known}. "
        "A model of another size loads from its folder, which holds its config"
    )
