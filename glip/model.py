"""GLIP: an image and a prompt in, word-region scores and boxes out (Li et al., "Grounded Language-Image Pre-training").

The paper's framework figure as code: two towers, a head in which image and text are fused layer by layer.
Attribute names are those of the published checkpoints, so that their keys load without a rename.

Shapes: B batch of prompts, I pictures, H W padded image, T tokens, D text width.
"""

from __future__ import annotations

from torch import Tensor, nn

from glip.config import GLIPConfig
from glip.head import GLIPOutput, Head
from glip.language import LanguageBackbone
from glip.vision import VisionBackbone


class GLIP(nn.Module):
    """The model with fresh weights; glip.checkpoint.load_model gives one with trained weights."""

    def __init__(self, config: GLIPConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = VisionBackbone(config)
        self.language_backbone = LanguageBackbone(config)
        self.rpn = nn.ModuleDict({"head": Head(config)})

    def forward(
        self,
        images_I3HW: Tensor,
        token_ids_BT: Tensor,
        attention_mask_BT: Tensor,
        text_BTD: Tensor | None = None,
        image_B: Tensor | None = None,
        *,
        keep_features: bool = False,
    ) -> GLIPOutput:
        """Score every position of every level against every token.

        images_I3HW: normalised BGR, zero-padded to multiples of 32 (glip.preprocess). attention_mask_BT: true on
        tokens, false on padding; T may be anything up to config.max_tokens. Each prompt needs one valid token.
        text_BTD: what the text tower gives for these tokens, where it is known (glip.language.TextFeatureCache).
        image_B: long, the picture that each prompt is asked of; None: every prompt has its own. A picture that is asked
        several things goes through the image tower once.
        keep_features: the output then holds what went into the fusion and the text that came out of it.

        Raises: ValueError for sides that are no multiples of 32, or more than config.max_tokens tokens.
        """
        height, width = images_I3HW.shape[-2:]
        if height % 32 or width % 32 or height * width == 0:
            raise ValueError(f"GLIP.forward wants image sides in multiples of 32, got {height}x{width}; see pad_batch")
        if token_ids_BT.shape[1] > self.config.max_tokens:
            raise ValueError(
                f"GLIP.forward takes at most {self.config.max_tokens} tokens, got {token_ids_BT.shape[1]}; "
                "encode with max_tokens=config.max_tokens"
            )
        if text_BTD is None:
            text_BTD = self.language_backbone(token_ids_BT, attention_mask_BT)
        maps = self.backbone(images_I3HW)
        if image_B is not None:
            maps = [map_ICHW[image_B] for map_ICHW in maps]
        output: GLIPOutput = self.rpn["head"](maps, text_BTD, attention_mask_BT.bool(), keep_features)
        return output
