"""Gradient checkpointing: a block forgets its activations and computes them again in the backward pass.

In: a model. Out: the same model, whose blocks keep only their inputs (Chen et al. 2016, arXiv 1604.06174); its results,
its weights and their names do not change.
"""

from __future__ import annotations

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.models.bert.modeling_bert import BertLayer

from glip.fusion import Fusion
from glip.head import DyConv
from glip.language import TextLayer
from glip.vision import SwinBlock

BLOCKS = (SwinBlock, BertLayer, Fusion, TextLayer, DyConv)


def recompute_blocks(model: nn.Module) -> None:
    """Make the blocks of ``model`` keep no activations, but compute them twice."""
    for block in blocks_of(model):
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)  # type: ignore[method-assign]


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The blocks of the towers and the head, in the order of the model."""
    return [module for module in model.modules() if isinstance(module, BLOCKS)]
