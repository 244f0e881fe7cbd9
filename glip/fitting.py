"""Whether weights and vocabulary belong to a model, and the model built from them.

In: named tensors, or their shapes alone, and a config. Out: the model in evaluation mode, or a ValueError that lists
what is missing, what is unknown and what has another shape. Shapes are compared before memory is taken for a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from glip.config import GLIPConfig
from glip.model import GLIP
from glip.tokens import PromptTokenizer

_LISTED_KEYS = 5
_STORED = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def check_shapes(found: Mapping[str, tuple[int, ...]], config: GLIPConfig, path: Path) -> None:
    """Compare keys and shapes with the model that the config describes, without taking memory for it.

    Raises: ValueError with the number and the first few of the missing, unknown and misshaped entries.
    """
    with torch.device("meta"):
        wanted = {key: tuple(value.shape) for key, value in GLIP(config).state_dict().items()}
    problems = {
        "missing": sorted(set(wanted) - set(found)),
        "unknown": sorted(set(found) - set(wanted)),
        "of another shape": [
            f"{key} {found[key]} instead of {wanted[key]}"
            for key in sorted(set(wanted) & set(found))
            if found[key] != wanted[key]
        ],
    }
    lines = [f"{len(keys)} {kind}: {first_of(keys)}" for kind, keys in problems.items() if keys]
    if lines:
        raise ValueError(f"{path}: not the weights of a {config.name!r} model; entries {'; '.join(lines)}")


def check_vocabulary(tokenizer: PromptTokenizer, config: GLIPConfig, path: Path, *, published: bool = False) -> None:
    """Refuse a vocabulary with more ids than the model has embeddings; a published model takes its own size only.

    Raises: ValueError.
    """
    more = tokenizer.vocabulary_size > config.vocabulary_size
    if more or (published and tokenizer.vocabulary_size != config.vocabulary_size):
        raise ValueError(
            f"{path}: the tokenizer has {tokenizer.vocabulary_size} ids, the model embeddings for "
            f"{config.vocabulary_size}; they do not belong together"
        )


def build_model(config: GLIPConfig, weights: dict[str, Tensor], path: Path, device: torch.device | str) -> GLIP:
    """The model with these weights, whose keys and shapes have been checked. ValueError where one is not finite."""
    damaged = [key for key, value in weights.items() if value.dtype not in _STORED or not value.isfinite().all()]
    if damaged:
        raise ValueError(f"{path}: {len(damaged)} entries are not finite numbers of 16 to 64 bits: {first_of(damaged)}")
    # Fresh weights are drawn and thrown away; loading must not move the caller's random state.
    with torch.random.fork_rng(devices=[]):
        model = GLIP(config)
    model.load_state_dict(weights)
    return model.to(device).eval()


def first_of(keys: list[str]) -> str:
    """The first few of a list, for a message."""
    return ", ".join(keys[:_LISTED_KEYS]) + (", ..." if len(keys) > _LISTED_KEYS else "")
