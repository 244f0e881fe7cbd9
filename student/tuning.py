"""The modes of fine-tuning: all parameters, the linear outputs, vectors of the prompt's words, or low-rank updates.

In: a model with trained weights. Out: the same model with the parameters that a mode trains, all others frozen; and
back, the weights as a plain model has them, so that every checkpoint opens everywhere.

    full           everything
    linear-probe   the layers that give scores, boxes and centerness, each linear (GLIP, section 5.2)
    prompt         a vector for each vocabulary entry, added to the text tower's output before the fusion; nothing else
                   (GLIP, section 5.2; by entry instead of by position, so that classes may come in any order)
    lora           low-rank updates of the linear layers (Hu et al. 2021, arXiv 2106.09685, section 4)
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from glip.config import GLIPConfig
from glip.model import GLIP
from schemas.recipes import TrainRecipe
from student.objectives import OBJECTIVES

OUTPUT_LAYERS = ("bbox_pred", "centerness", "scales", "dot_product_projection_text", "log_scale", "bias_lang", "bias0")
OFFSETS = "language_backbone.offsets.weight"
LORA_ALPHA = 2.0  # the update is scaled by alpha / rank; fixed, since the learning rate has the same effect
_ORIGINAL, _UPDATE = ".parametrizations.weight.original", ".parametrizations.weight.0."


class LowRank(nn.Module):
    """A parametrization: the frozen weight ``[O, I]`` plus ``up [O, R] @ down [R, I]``, scaled. The update starts at
    zero."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(rank, weight.shape[1], device=weight.device))
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank, device=weight.device))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + low_rank_update(self.down, self.up)


def low_rank_update(down: Tensor, up: Tensor) -> Tensor:
    """The update of a weight: ``up @ down * LORA_ALPHA / rank``."""
    return up @ down * (LORA_ALPHA / down.shape[0])


def prepare(model: GLIP, recipe: TrainRecipe) -> None:
    """Prepare the model for the recipe's mode: the parameters that it trains require a gradient, no others do.

    Adds the parameters that the mode needs and the model lacks: offsets (also set in its config), or low-rank updates,
    drawn by the seed.
    """
    if recipe.tune == "full":
        return
    if recipe.tune == "prompt":
        _add_offsets(model)
    model.requires_grad_(False)
    if recipe.tune == "lora":
        torch.manual_seed(recipe.seed)
        _add_low_rank(model, recipe.lora_rank)
    for name, parameter in model.named_parameters():
        if recipe.tune == "prompt" and name == OFFSETS:
            parameter.requires_grad_(True)
        if recipe.tune == "linear-probe" and _is_output(name):
            parameter.requires_grad_(True)


def plain_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a plain model: low-rank updates are added to their weights, heads of objectives left out."""
    plain = {}
    for name, value in weights.items():
        if name.endswith(_ORIGINAL):
            update = name.removesuffix(_ORIGINAL) + _UPDATE
            value = value + low_rank_update(weights[update + "down"], weights[update + "up"])
            plain[name.removesuffix(_ORIGINAL) + ".weight"] = value
        elif _UPDATE not in name and not name.startswith(f"{OBJECTIVES}."):
            plain[name] = value
    return plain


def plain_model(config: GLIPConfig, weights: dict[str, Tensor]) -> GLIP:
    """A plain model with these weights, to be saved; it shares their memory where nothing is added to them."""
    with torch.device("meta"):
        model = GLIP(config)
    model.load_state_dict(plain_weights(weights), assign=True)
    return model


def _add_offsets(model: GLIP) -> None:
    if not model.config.text_offsets:
        model.config = dataclasses.replace(model.config, text_offsets=True)
        model.language_backbone.add_offsets(model.config)


def _is_output(name: str) -> bool:
    room, _, rest = name.partition("rpn.head.")
    return not room and rest.split(".")[0] in OUTPUT_LAYERS


def _add_low_rank(model: nn.Module, rank: int) -> None:
    for layer in [module for module in model.modules() if isinstance(module, nn.Linear)]:
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, min(rank, *layer.weight.shape)))
