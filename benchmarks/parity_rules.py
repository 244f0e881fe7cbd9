"""Weights and images of the parity fixtures, generated from a rule so that none need be stored.

In: a model's config, a state-dict key and its shape, or an image's tag and size. Out: the same float32 numbers on every
machine.
"""

from __future__ import annotations

import math
import zlib

import numpy as np
import torch
from torch import Tensor

from glip.config import GLIPConfig
from glip.model import GLIP

# Offset, standard deviation or gain (for matrices) by key; the first suffix that matches wins.
EMBEDDINGS = ("word_embeddings.weight", "position_embeddings.weight", "token_type_embeddings.weight")
LEAF_RULES = {  # leaf: (offset, scale)
    "relative_position_bias_table": (0.0, 0.5),
    "gamma_v": (0.5, 0.1),
    "gamma_l": (0.5, 0.1),
    "scale": (1.0, 0.1),
    "log_scale": (-1.0, 0.1),
    "bias_lang": (0.0, 2.0),
    "bias0": (-2.0, 0.1),
}
GAINS = (
    (("attention.self.query.weight", "attention.self.key.weight"), 1.5),
    (("output.dense.weight",), 0.5),
    (("attn.v_proj.weight", "attn.l_proj.weight"), 1.5),
    (("relu.fc.0.weight", "relu.fc.2.weight"), 2.0),
    (("AttnConv.1.weight", "rpn.head.centerness.weight"), 3.0),
    (("rpn.head.bbox_pred.weight",), 4.0),
)


def rule_weight(key: str, shape: tuple[int, ...]) -> Tensor:
    """The formula-generated value of one state-dict entry."""
    normal = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape).astype(np.float32)
    leaf = key.rsplit(".", 1)[-1]
    if leaf in LEAF_RULES:
        offset, scale = LEAF_RULES[leaf]
    elif key.endswith(EMBEDDINGS):
        offset, scale = 0.0, 0.02
    elif ".relu.fc." in key and leaf == "bias":
        offset, scale = 0.0, 0.5
    elif key.endswith(".bn.weight"):
        offset, scale = 2.0, 0.2
    elif len(shape) >= 2:
        gain = next((gain for suffixes, gain in GAINS if key.endswith(suffixes)), 1.0)
        offset, scale = 0.0, gain / math.sqrt(math.prod(shape[1:]))
    else:
        offset, scale = (0.0, 0.02) if leaf == "bias" else (1.0, 0.1)
    return torch.from_numpy(np.float32(offset) + np.float32(scale) * normal)


def rule_model(config: GLIPConfig) -> GLIP:
    """A model for inference whose weights are the rule's."""
    model = GLIP(config).eval()
    model.load_state_dict({key: rule_weight(key, tuple(value.shape)) for key, value in model.state_dict().items()})
    return model


def rule_image(tag: str, height: int, width: int) -> Tensor:
    """A normalised image [3, H, W]: coarse 16-pixel noise plus fine noise."""
    random = np.random.RandomState(zlib.crc32(tag.encode()))
    coarse = random.standard_normal((3, -(-height // 16), -(-width // 16)))
    low = coarse.repeat(16, axis=1).repeat(16, axis=2)[:, :height, :width]
    return torch.from_numpy((low + 0.5 * random.standard_normal((3, height, width))).astype(np.float32))
