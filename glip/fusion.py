"""Deep cross-modal fusion (GLIP section 3.2): one bidirectional attention between all image positions and all tokens.

In: image positions of all levels and the text. Out: both, each told about the other.
Keys and values are projected on the text side and their products are folded there: with W_v (image to head space) and
k (text in head space), (x W_v + b) k^T = x (W_v k^T) + b k^T. There are far fewer tokens than positions, so no tensor
of [positions, fusion width] is ever made. The function is the reference's; only the order of products differs.

Shapes: B batch, N image positions, T tokens, C image channels, D text width, h heads, d head width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glip.config import GLIPConfig

_CLAMP = 50_000.0


class BidirectionalAttention(nn.Module):
    """Multi-head attention whose one score matrix serves both directions."""

    def __init__(self, config: GLIPConfig) -> None:
        super().__init__()
        image, text, fused = config.channels, config.text_width, config.fusion_width
        self.heads, self.dropout = config.fusion_heads, config.fusion_dropout
        self.v_proj, self.l_proj = nn.Linear(image, fused), nn.Linear(text, fused)
        self.values_v_proj, self.values_l_proj = nn.Linear(image, fused), nn.Linear(text, fused)
        self.out_v_proj, self.out_l_proj = nn.Linear(fused, image), nn.Linear(fused, text)
        for module in self.children():
            assert isinstance(module, nn.Linear)
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)

    def forward(self, image_BNC: Tensor, text_BTD: Tensor, valid_BT: Tensor) -> tuple[Tensor, Tensor]:
        """What each side learns from the other: [B, N, C] and [B, T, D]."""
        scores_BNhT = self._scores(image_BNC, text_BTD)
        to_image = scores_BNhT.masked_fill(~valid_BT[:, None, None, :], float("-inf")).softmax(dim=-1)
        to_text = softmax_over_positions(scores_BNhT)
        to_image, to_text = (
            F.dropout(attention, self.dropout, self.training).to(image_BNC.dtype).flatten(2)
            for attention in (to_image, to_text)
        )
        return self._to_image(to_image, text_BTD), self._to_text(to_text, image_BNC)

    def _scores(self, image_BNC: Tensor, text_BTD: Tensor) -> Tensor:
        key_BThd = self._by_head(self.l_proj(text_BTD), -1)
        key_BThd = key_BThd * key_BThd.shape[-1] ** -0.5
        weight_hdC, bias_hd = self._by_head(self.v_proj.weight, 0), self._by_head(self.v_proj.bias, 0)
        folded_BhTC = torch.einsum("bthd,hdc->bhtc", key_BThd, weight_hdC).flatten(1, 2)
        bias_BhT = torch.einsum("bthd,hd->bht", key_BThd, bias_hd).flatten(1)
        scores = torch.baddbmm(bias_BhT.unsqueeze(1), image_BNC, folded_BhTC.transpose(1, 2))
        return self._by_head(scores.clamp(-_CLAMP, _CLAMP), -1)

    def _to_image(self, attention_BNhT: Tensor, text_BTD: Tensor) -> Tensor:
        value_BThd = self._by_head(self.values_l_proj(text_BTD), -1)
        weight_Chd = self._by_head(self.out_v_proj.weight, 1)
        folded_BhTC = torch.einsum("bthd,chd->bhtc", value_BThd, weight_Chd).flatten(1, 2)
        return attention_BNhT @ folded_BhTC + self.out_v_proj.bias

    def _to_text(self, attention_BNhT: Tensor, image_BNC: Tensor) -> Tensor:
        mixed_BhTC = self._by_head(attention_BNhT.transpose(1, 2) @ image_BNC, 1)
        # Under dropout the weights of a token need not sum to one, so the bias is weighted by that sum.
        total_BhT = self._by_head(attention_BNhT.sum(dim=1), -1)
        weight_hdC, bias_hd = self._by_head(self.values_v_proj.weight, 0), self._by_head(self.values_v_proj.bias, 0)
        values_BThd = torch.einsum("bhtc,hdc->bthd", mixed_BhTC, weight_hdC)
        values_BThd = values_BThd + total_BhT.transpose(1, 2).unsqueeze(-1) * bias_hd
        out_BTD: Tensor = self.out_l_proj(values_BThd.flatten(2))
        return out_BTD

    def _by_head(self, x: Tensor, dim: int) -> Tensor:
        """Split a dimension of heads * anything in two."""
        return torch.unflatten(x, dim, (self.heads, -1))


def softmax_over_positions(scores_BNhT: Tensor) -> Tensor:
    """Softmax along N.

    On a GPU, N is moved to the last dimension for it: CUDA's softmax over another dimension uses few threads an image,
    each of which walks over many positions.
    """
    if scores_BNhT.device.type == "cpu":
        return scores_BNhT.softmax(dim=1)
    return scores_BNhT.movedim(1, -1).softmax(dim=-1).movedim(-1, 1)


class FusionBlock(nn.Module):
    """Normalise both sides, attend, add back with a learned scale per channel."""

    def __init__(self, config: GLIPConfig) -> None:
        super().__init__()
        self.layer_norm_v, self.layer_norm_l = nn.LayerNorm(config.channels), nn.LayerNorm(config.text_width)
        self.attn = BidirectionalAttention(config)
        self.gamma_v = nn.Parameter(torch.full((config.channels,), 1 / config.head_layers))
        self.gamma_l = nn.Parameter(torch.full((config.text_width,), 1 / config.head_layers))

    def forward(self, image_BNC: Tensor, text_BTD: Tensor, valid_BT: Tensor) -> tuple[Tensor, Tensor]:
        # The residual is the normalised input, not the raw one: so were the published weights trained.
        image_BNC, text_BTD = self.layer_norm_v(image_BNC), self.layer_norm_l(text_BTD)
        delta_BNC, delta_BTD = self.attn(image_BNC, text_BTD, valid_BT)
        return image_BNC + self.gamma_v * delta_BNC, text_BTD + self.gamma_l * delta_BTD


class Fusion(nn.Module):
    """Entry 3i of the head's tower; the block is called `b_attn` in the published checkpoints."""

    def __init__(self, config: GLIPConfig) -> None:
        super().__init__()
        self.b_attn = FusionBlock(config)

    def forward(self, image_BNC: Tensor, text_BTD: Tensor, valid_BT: Tensor) -> tuple[Tensor, Tensor]:
        image_BNC, text_BTD = self.b_attn(image_BNC, text_BTD, valid_BT)
        return image_BNC, text_BTD
