"""Grounding DINO of transformers as a side of the speed benchmark: random weights, the published sizes.

In: what GLIP takes. Out: boxes per phrase as `teacher.grounding_dino_grounder` makes them: the highest probability of a
phrase's tokens, the 300 best pairs. Source: Grounding DINO (Liu et al., ECCV 2024); the defaults of transformers'
GroundingDinoConfig are those of its tiny model, and a Swin-L in place of its Swin-T is what is compared with GLIP-L.

Shapes: B batch, Q queries, T tokens, P phrases, K boxes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from glip.config import GLIPConfig
from glip.postprocess import PhraseBoxes
from teacher.best_pairs import MAX_PAIRS, corners

SWINS: dict[str, dict[str, Any]] = {
    "tiny": {"embed_dim": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24], "window_size": 7},
    "large": {"embed_dim": 192, "depths": [2, 2, 18, 2], "num_heads": [6, 12, 24, 48], "window_size": 12},
}


class GroundingDino(nn.Module):
    """The model with a backbone of the same size as that of the GLIP with this name."""

    def __init__(self, size: str) -> None:
        super().__init__()
        import transformers

        if size not in SWINS:
            raise SystemExit(f"--sides grounding-dino: there is none of the size of GLIP-{size}; {', '.join(SWINS)}")
        swin = transformers.SwinConfig(image_size=384, out_indices=[2, 3, 4], **SWINS[size])
        config = transformers.GroundingDinoConfig(backbone_config=swin)
        self.model = transformers.GroundingDinoForObjectDetection(config).eval()

    def forward(self, images_B3HW: Tensor, token_ids_BT: Tensor, attention_mask_BT: Tensor) -> Any:
        return self.model(
            pixel_values=images_B3HW,
            pixel_mask=torch.ones_like(images_B3HW[:, 0], dtype=torch.long),
            input_ids=token_ids_BT,
            attention_mask=attention_mask_BT.long(),
        )


def best_boxes(
    output: Any,
    token_positions: list[list[list[int]]],
    image_shapes_hw: list[tuple[int, int]],
    original_shapes_hw: list[tuple[int, int]],
    config: GLIPConfig,
) -> list[PhraseBoxes]:
    """Like `glip.postprocess.ground`; the sizes of resized pictures and the config are not used."""
    probabilities, boxes = output.logits.float().sigmoid().cpu(), corners(output.pred_boxes.float().cpu())
    found = []
    for probability_QT, box_Q4, phrases, (height, width) in zip(
        probabilities, boxes, token_positions, original_shapes_hw, strict=True
    ):
        scores_QP = torch.stack([probability_QT[:, tokens].amax(dim=1) for tokens in phrases], dim=1)
        best = scores_QP.flatten().topk(min(MAX_PAIRS, scores_QP.numel()))
        query_K, phrase_K = best.indices // len(phrases), best.indices % len(phrases)
        found.append(PhraseBoxes(phrase_K, box_Q4[query_K] * torch.tensor([width, height] * 2), best.values))
    return found
