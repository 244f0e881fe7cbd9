"""Dynamic head (Dai et al., CVPR 2021) with fusion, and the word-region scores (GLIP section 3.1).

In: pyramid maps and text vectors. Out per level: token logits, box regression and centerness of every position.

Shapes: B batch, C channels, H W map, N positions of all levels, T tokens, D text width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glip.config import GLIPConfig
from glip.deform_conv import DeformConv
from glip.fusion import Fusion
from glip.language import TextLayer

_PRIOR_PROBABILITY = 0.01
_CLAMP = 50_000.0


@dataclass(frozen=True)
class TowerFeatures:
    """What further objectives of a training run look at.

    maps: [B, C, H, W] of each level before the fusion. text_BTD: before the fusion. fused_text_BTD: after the last one.
    """

    maps: list[Tensor]
    text_BTD: Tensor
    fused_text_BTD: Tensor


@dataclass(frozen=True)
class GLIPOutput:
    """Raw answers, one entry a level, finest first; positions in row-major order.

    logits: [B, H*W, T] word-region scores before the sigmoid. box_regression: [B, H*W, 4] (see boxes.decode).
    centerness: [B, H*W] before the sigmoid. level_shapes: (H, W). features: only where they were asked for.
    """

    logits: list[Tensor]
    box_regression: list[Tensor]
    centerness: list[Tensor]
    level_shapes: list[tuple[int, int]]
    features: TowerFeatures | None = None


class ConvNorm(nn.Module):
    """Deformable convolution and group normalisation (`bn` in the published checkpoints).

    The output is channels-last, as every map in the head. CUDA's group normalisation returns a contiguous map instead,
    and CUDA's bilinear resize of a contiguous map uses one thread a position for all images and channels.
    """

    def __init__(self, config: GLIPConfig, *, stride: int) -> None:
        super().__init__()
        self.conv = DeformConv(config.channels, stride=stride)
        self.bn = nn.GroupNorm(config.head_norm_groups, config.channels)

    def forward(self, map_BCHW: Tensor, offset_mask_B27HW: Tensor) -> Tensor:
        out_BCHW: Tensor = self.bn(self.conv(map_BCHW, offset_mask_B27HW))
        return out_BCHW.contiguous(memory_format=torch.channels_last)


class DynamicReLU(nn.Module):
    """max(a1 x + b1, a2 x + b2) with coefficients per image and channel (Chen et al., ECCV 2020)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // 4), nn.ReLU(), nn.Linear(channels // 4, 4 * channels), nn.Hardsigmoid()
        )

    def forward(self, map_BCHW: Tensor) -> Tensor:
        raw = self.fc(map_BCHW.mean(dim=(2, 3))) - 0.5
        a1, b1, a2, b2 = raw.unsqueeze(-1).unsqueeze(-1).chunk(4, dim=1)
        return torch.maximum(torch.addcmul(b1, map_BCHW, 2 * a1 + 1), torch.addcmul(b2, map_BCHW, 2 * a2))


class DyConv(nn.Module):
    """Scale-, space- and task-aware attention: each level mixes itself with its finer and its coarser neighbour."""

    def __init__(self, config: GLIPConfig) -> None:
        super().__init__()
        self.DyConv = nn.ModuleList(ConvNorm(config, stride=stride) for stride in (1, 1, 2))
        self.AttnConv = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(config.channels, 1, 1), nn.ReLU())
        self.relu = DynamicReLU(config.channels)
        self.offset = nn.Conv2d(config.channels, 27, 3, padding=1)
        nn.init.normal_(self.AttnConv[1].weight, std=0.01)  # type: ignore[arg-type]
        nn.init.normal_(self.offset.weight, std=0.01)
        nn.init.zeros_(self.offset.bias)  # type: ignore[arg-type]

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """New maps of the same sizes; all are computed from the old ones."""
        return [self._level(maps, level) for level in range(len(maps))]

    def _level(self, maps: list[Tensor], level: int) -> Tensor:
        from_coarser, same, from_finer = self.DyConv
        offset_mask = self.offset(maps[level])
        features = [same(maps[level], offset_mask)]
        if level > 0:
            features.append(from_finer(maps[level - 1], offset_mask))
        if level < len(maps) - 1:
            coarse = from_coarser(maps[level + 1], offset_mask)
            size = maps[level].shape[-2:]
            features.append(F.interpolate(coarse, size=size, mode="bilinear", align_corners=True))
        weighted = [F.hardsigmoid(self.AttnConv(feature)) * feature for feature in features]
        mixed: Tensor = self.relu(sum(weighted[1:], start=weighted[0]) / len(weighted))
        return mixed


class Scale(nn.Module):
    """A learned factor, one per level."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))


class Head(nn.Module):
    """head_layers times (fusion, BERT layer, DyConv), then the predictions."""

    def __init__(self, config: GLIPConfig) -> None:
        super().__init__()
        self.dyhead_tower = nn.ModuleList()
        for _ in range(config.head_layers):
            self.dyhead_tower.extend([Fusion(config), TextLayer(config), DyConv(config)])
        self.bbox_pred = nn.Conv2d(config.channels, 4, 1)
        self.centerness = nn.Conv2d(config.channels, 1, 1)
        self.scales = nn.ModuleList(Scale() for _ in range(config.num_levels))
        self.dot_product_projection_text = nn.Linear(config.text_width, config.channels)
        self.log_scale = nn.Parameter(torch.zeros(1))
        self.bias_lang = nn.Parameter(torch.zeros(config.text_width))
        self.bias0 = nn.Parameter(torch.full((1,), -math.log((1 - _PRIOR_PROBABILITY) / _PRIOR_PROBABILITY)))
        for conv in (self.bbox_pred, self.centerness):
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]

    def forward(
        self, maps: list[Tensor], text_BTD: Tensor, valid_BT: Tensor, keep_features: bool = False
    ) -> GLIPOutput:
        shapes = [(m.shape[2], m.shape[3]) for m in maps]
        towers = (maps, text_BTD)
        for i in range(0, len(self.dyhead_tower), 3):
            fuse, text_layer, dyconv = self.dyhead_tower[i : i + 3]
            image_BNC, text_BTD = fuse(_flatten(maps), text_BTD, valid_BT)
            text_BTD = text_layer(text_BTD, valid_BT)
            maps = dyconv(_unflatten(image_BNC, shapes))
        output = self._predict(_flatten(maps), text_BTD, shapes)
        return replace(output, features=TowerFeatures(*towers, text_BTD)) if keep_features else output

    def _predict(self, image_BNC: Tensor, text_BTD: Tensor, shapes: list[tuple[int, int]]) -> GLIPOutput:
        lengths = [height * width for height, width in shapes]
        boxes_BN4 = F.linear(image_BNC, self.bbox_pred.weight.flatten(1), self.bbox_pred.bias)
        centerness_BN = F.linear(image_BNC, self.centerness.weight.flatten(1), self.centerness.bias).squeeze(-1)
        scales = [scale.get_parameter("scale") for scale in self.scales]
        return GLIPOutput(
            logits=list(torch.split(self._token_logits(image_BNC, text_BTD), lengths, dim=1)),
            box_regression=[b * scale for b, scale in zip(torch.split(boxes_BN4, lengths, dim=1), scales, strict=True)],
            centerness=list(torch.split(centerness_BN, lengths, dim=1)),
            level_shapes=shapes,
        )

    def _token_logits(self, image_BNC: Tensor, text_BTD: Tensor) -> Tensor:
        embedding_BTD = F.normalize(text_BTD.float(), dim=-1, eps=1e-12)
        text_BTC = self.dot_product_projection_text(embedding_BTD / 2) / self.log_scale.exp()
        bias_BT = embedding_BTD @ self.bias_lang + self.bias0
        logits_BNT: Tensor = image_BNC @ text_BTC.to(image_BNC.dtype).transpose(1, 2) + bias_BT.unsqueeze(1)
        return logits_BNT.clamp(-_CLAMP, _CLAMP)


def _flatten(maps: list[Tensor]) -> Tensor:
    """[B, N, C]: all levels one after the other, row-major."""
    return torch.cat([m.permute(0, 2, 3, 1).flatten(1, 2) for m in maps], dim=1)


def _unflatten(image_BNC: Tensor, shapes: list[tuple[int, int]]) -> list[Tensor]:
    parts = torch.split(image_BNC, [height * width for height, width in shapes], dim=1)
    return [torch.unflatten(part, 1, shape).permute(0, 3, 1, 2) for part, shape in zip(parts, shapes, strict=True)]
