"""GLIP in the reference's order of products, in plain PyTorch: the side that benchmarks compare ours with.

In: a model of ours. Out: a model of the same function on the same parameters (shared, not copied), computed as the
reference computes it: every image position is projected to the fusion width and back (GLIP section 3.2), attention is
matrix product, softmax, matrix product, deformable convolution is im2col by `grid_sample`, every level of the dynamic
head is normalised, pooled and weighted on its own, and the post-processor loops over levels, labels and images.
What both sides have in common: BERT (from transformers), the convolutions of the pyramid, non-maximum suppression.

Shapes: B batch, N image positions, T tokens, C channels, h heads, d head width, W windows of L positions, P positions.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glip import boxes as box_math
from glip.anchors import anchor_grid
from glip.config import GLIPConfig
from glip.deform_conv import DeformConv
from glip.fusion import BidirectionalAttention
from glip.head import DyConv, GLIPOutput
from glip.model import GLIP
from glip.nms import nms
from glip.postprocess import PhraseBoxes
from glip.vision import SwinBlock, SwinStage
from glip.window_attention import WindowAttention

_CLAMP = 50_000.0


def in_reference_order(model: GLIP) -> GLIP:
    """A model that shares `model`'s parameters and gives its answers by the reference's products; for inference."""
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    reference = copy.deepcopy(model, shared)
    rewrites = {
        SwinStage: PlainSwinStage,
        BidirectionalAttention: PlainFusion,
        DeformConv: PlainDeformConv,
        DyConv: PlainDyConv,
    }
    for kind, plain in rewrites.items():
        for name, module in list(reference.named_modules()):
            if type(module) is kind:
                reference.set_submodule(name, plain(module))
    return reference.eval()


class PlainFusion(nn.Module):
    """Bidirectional attention with queries and values of every image position at the full fusion width."""

    def __init__(self, ours: BidirectionalAttention) -> None:
        super().__init__()
        self.heads = ours.heads
        self.v_proj, self.l_proj = ours.v_proj, ours.l_proj
        self.values_v_proj, self.values_l_proj = ours.values_v_proj, ours.values_l_proj
        self.out_v_proj, self.out_l_proj = ours.out_v_proj, ours.out_l_proj

    def forward(self, image_BNC: Tensor, text_BTD: Tensor, valid_BT: Tensor) -> tuple[Tensor, Tensor]:
        queries, values_image = self._heads(self.v_proj(image_BNC)), self._heads(self.values_v_proj(image_BNC))
        keys, values_text = self._heads(self.l_proj(text_BTD)), self._heads(self.values_l_proj(text_BTD))
        scores_BhNT = (queries * queries.shape[-1] ** -0.5 @ keys.transpose(-1, -2)).clamp(-_CLAMP, _CLAMP)
        scores_BhTN = scores_BhNT.transpose(-1, -2)
        to_text = (scores_BhTN - scores_BhTN.amax(dim=-1, keepdim=True)).clamp(-_CLAMP, _CLAMP).softmax(dim=-1)
        mask_B11T = torch.where(valid_BT, 1.0, -9e15)[:, None, None, :]
        to_image = (scores_BhNT + mask_B11T).softmax(dim=-1)
        delta_BNC = self.out_v_proj((to_image @ values_text).transpose(1, 2).flatten(2))
        delta_BTD = self.out_l_proj((to_text @ values_image).transpose(1, 2).flatten(2))
        return delta_BNC, delta_BTD

    def _heads(self, x: Tensor) -> Tensor:
        return torch.unflatten(x, -1, (self.heads, -1)).transpose(1, 2).contiguous()


class PlainSwinStage(nn.Module):
    """Swin blocks with rolled maps, windows cut and joined by copies, and a mask added to every window."""

    def __init__(self, ours: SwinStage) -> None:
        super().__init__()
        self.window, self.shifts = ours.window, ours.shifts
        self.blocks, self.downsample = ours.blocks, ours.downsample

    def forward(self, x_BHWC: Tensor) -> Tensor:
        for block, shift in zip(self.blocks, self.shifts, strict=True):
            assert isinstance(block, SwinBlock)
            x_BHWC = x_BHWC + self._attend(block.attn, block.norm1(x_BHWC), shift)
            x_BHWC = x_BHWC + block.mlp(block.norm2(x_BHWC))
        return x_BHWC

    def _attend(self, attn: WindowAttention, x_BHWC: Tensor, shift: int) -> Tensor:
        (height, width), side = x_BHWC.shape[1:3], self.window
        x_BHWC = F.pad(x_BHWC, (0, 0, 0, -width % side, 0, -height % side))
        rows, columns = x_BHWC.shape[1] // side, x_BHWC.shape[2] // side
        if shift:
            x_BHWC = torch.roll(x_BHWC, (-shift, -shift), dims=(1, 2))
        mask_WLL = self._region_mask(rows * side, columns * side, shift, x_BHWC.device) if shift else None
        windows_BWLC = self._attend_windows(attn, self._cut(x_BHWC), mask_WLL)
        tiles = torch.unflatten(torch.unflatten(windows_BWLC, 2, (side, side)), 1, (rows, columns))
        x_BHWC = tiles.transpose(2, 3).flatten(3, 4).flatten(1, 2)
        if shift:
            x_BHWC = torch.roll(x_BHWC, (shift, shift), dims=(1, 2))
        return x_BHWC[:, :height, :width].contiguous()

    def _attend_windows(self, attn: WindowAttention, windows_BWLC: Tensor, mask_WLL: Tensor | None) -> Tensor:
        qkv = torch.unflatten(attn.qkv(windows_BWLC), -1, (3, attn.heads, -1))
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5).unbind(0)
        bias_hLL = attn.relative_position_bias_table[attn.relative_position_index].permute(2, 0, 1)
        scores_BWhLL = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2) + bias_hLL
        if mask_WLL is not None:
            scores_BWhLL = scores_BWhLL + mask_WLL.unsqueeze(1)
        out_BWLC: Tensor = attn.proj((scores_BWhLL.softmax(dim=-1) @ v).transpose(2, 3).flatten(3))
        return out_BWLC

    def _cut(self, x_BHWC: Tensor) -> Tensor:
        rows, columns = x_BHWC.shape[1] // self.window, x_BHWC.shape[2] // self.window
        tiles = torch.unflatten(torch.unflatten(x_BHWC, 2, (columns, self.window)), 1, (rows, self.window))
        return tiles.transpose(2, 3).flatten(3, 4).flatten(1, 2)

    def _region_mask(self, height: int, width: int, shift: int, device: torch.device) -> Tensor:
        region_1HW1 = torch.zeros(1, height, width, 1, device=device)
        cuts = (slice(0, -self.window), slice(-self.window, -shift), slice(-shift, None))
        for number, (rows, columns) in enumerate((rows, columns) for rows in cuts for columns in cuts):
            region_1HW1[:, rows, columns] = number
        region_WL = self._cut(region_1HW1)[0, :, :, 0]
        return torch.where(region_WL.unsqueeze(1) == region_WL.unsqueeze(2), 0.0, -100.0)


class PlainDeformConv(nn.Module):
    """Modulated deformable convolution: all samples side by side as columns, then one matrix product."""

    def __init__(self, ours: DeformConv) -> None:
        super().__init__()
        self.stride, self.weight, self.bias = ours.stride, ours.weight, ours.bias

    def forward(self, map_BCHW: Tensor, offset_mask_B27HW: Tensor) -> Tensor:
        batch, channels, map_height, map_width = map_BCHW.shape
        height, width = -(-map_height // self.stride), -(-map_width // self.stride)
        offset_B18hw = _read_flat(offset_mask_B27HW[:, :18], height, width)
        offset_B2Khw = torch.unflatten(offset_B18hw, 1, (9, 2)).transpose(1, 2)
        mask_BKhw = _read_flat(offset_mask_B27HW[:, 18:], height, width).sigmoid()
        point = torch.arange(9, device=map_BCHW.device).view(9, 1, 1)
        row, column = (torch.arange(side, device=map_BCHW.device) * self.stride - 1 for side in (height, width))
        y_BKhw = offset_B2Khw[:, 0] + (row.view(-1, 1) + point // 3)
        x_BKhw = offset_B2Khw[:, 1] + (column + point % 3)
        grid = torch.stack(((2 * x_BKhw + 1) / map_width - 1, (2 * y_BKhw + 1) / map_height - 1), dim=-1)
        sampled = F.grid_sample(map_BCHW.float().contiguous(), grid.float().flatten(1, 2), align_corners=False)
        columns_BCKP = sampled.view(batch, channels, 9, -1) * mask_BKhw.flatten(2).unsqueeze(1)
        out_BOP = self.weight.float().flatten(1) @ columns_BCKP.flatten(1, 2) + self.bias.float().unsqueeze(1)
        return out_BOP.view(batch, -1, height, width)


class PlainDyConv(nn.Module):
    """The dynamic head's convolutions, one level and one neighbour after the other."""

    def __init__(self, ours: DyConv) -> None:
        super().__init__()
        self.DyConv, self.AttnConv = ours.DyConv, ours.AttnConv
        self.relu, self.offset = ours.relu, ours.offset

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [self._level([m.contiguous() for m in maps], level) for level in range(len(maps))]

    def _level(self, maps: list[Tensor], level: int) -> Tensor:
        offset_mask = self.offset(maps[level])
        features = [self.DyConv[1](maps[level], offset_mask)]
        if level > 0:
            features.append(self.DyConv[2](maps[level - 1], offset_mask))
        if level < len(maps) - 1:
            coarse = self.DyConv[0](maps[level + 1], offset_mask)
            size = maps[level].shape[-2:]
            features.append(F.interpolate(coarse, size=size, mode="bilinear", align_corners=True))
        attention = torch.stack([F.relu6(self.AttnConv(feature) + 3) / 6 for feature in features])
        return self._dynamic_relu((attention * torch.stack(features)).mean(dim=0))

    def _dynamic_relu(self, map_BCHW: Tensor) -> Tensor:
        coefficients: Tensor = self.relu.fc(F.adaptive_avg_pool2d(map_BCHW, 1).flatten(1)) - 0.5
        a1, b1, a2, b2 = coefficients[:, :, None, None].chunk(4, dim=1)
        return torch.max(map_BCHW * (2 * a1 + 1) + b1, map_BCHW * (2 * a2) + b2)


def ground_by_loops(
    output: GLIPOutput,
    token_positions: list[list[list[int]]],
    image_shapes_hw: list[tuple[int, int]],
    original_shapes_hw: list[tuple[int, int]],
    config: GLIPConfig,
) -> list[PhraseBoxes]:
    """As glip.postprocess.ground: loops over images, levels and phrases."""
    anchors_N4 = anchor_grid(output.level_shapes, config, output.logits[0].device)
    anchors = torch.split(anchors_N4, [height * width for height, width in output.level_shapes])
    found = []
    for image, (phrases, size, original) in enumerate(
        zip(token_positions, image_shapes_hw, original_shapes_hw, strict=True)
    ):
        levels = [
            _level_candidates(logits[image], codes[image], centerness[image], level_anchors, phrases, config)
            for logits, codes, centerness, level_anchors in zip(
                output.logits, output.box_regression, output.centerness, anchors, strict=True
            )
        ]
        phrase_K, boxes_K4, scores_K = (torch.cat(parts) for parts in zip(*levels, strict=True))
        limit_4 = boxes_K4.new_tensor([size[1] - 1, size[0] - 1] * 2)
        boxes_K4 = torch.minimum(boxes_K4.clamp(min=0), limit_4)
        kept = nms(boxes_K4, scores_K, phrase_K, config.nms_max_iou)
        if len(kept) > config.max_boxes_per_image:
            last = scores_K[kept].sort(descending=True).values[config.max_boxes_per_image - 1]
            kept = kept[scores_K[kept] >= last]
        kept = kept[scores_K[kept].argsort(descending=True, stable=True)]
        ratio_4 = boxes_K4.new_tensor([original[1] / size[1], original[0] / size[0]] * 2)
        found.append(PhraseBoxes(phrase_K[kept], boxes_K4[kept] * ratio_4, scores_K[kept]))
    return found


def _level_candidates(
    logits_NT: Tensor,
    codes_N4: Tensor,
    centerness_N: Tensor,
    anchors_N4: Tensor,
    phrases: list[list[int]],
    config: GLIPConfig,
) -> tuple[Tensor, Tensor, Tensor]:
    """Phrase, box and score of the candidates of one level of one image."""
    probabilities_NT = logits_NT.float().sigmoid()
    scores_NP = torch.stack([probabilities_NT[:, positions].mean(dim=1) for positions in phrases], dim=1)
    position_K, phrase_K = (scores_NP > config.candidate_min_score).nonzero(as_tuple=True)
    ranks_K = scores_NP[position_K, phrase_K] * centerness_N.float().sigmoid()[position_K]
    ranks_K, best = ranks_K.topk(min(config.max_candidates_per_level, len(ranks_K)))
    position_K, phrase_K = position_K[best], phrase_K[best]
    return phrase_K, box_math.decode(codes_N4[position_K].float(), anchors_N4[position_K]), ranks_K.sqrt()


def _read_flat(buffer_BCHW: Tensor, height: int, width: int) -> Tensor:
    """The first channels * height * width numbers of each image, whatever the buffer's own height and width."""
    channels = buffer_BCHW.shape[1]
    return buffer_BCHW.flatten(1)[:, : channels * height * width].reshape(-1, channels, height, width)
