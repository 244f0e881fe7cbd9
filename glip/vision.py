"""Image tower: Swin Transformer v1 (Liu et al., ICCV 2021) and a feature pyramid (Lin et al., CVPR 2017).

In: normalised BGR images. Out: feature maps P3, P4, ... of equal width, finest first.
Padded pixels take part like any other: there is no image padding mask in GLIP, so padding changes results.

Shapes: B batch, H W map, C channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glip.config import GLIPConfig
from glip.window_attention import WindowAttention
from glip.windows import Windows, cut_windows


class SwinBlock(nn.Module):
    """Pre-norm block on the windows it is given."""

    def __init__(self, dim: int, heads: int, window: int, mlp_ratio: int, drop_path: float) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads, window)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential()
        self.mlp.add_module("fc1", nn.Linear(dim, mlp_ratio * dim))
        self.mlp.add_module("act", nn.GELU())
        self.mlp.add_module("fc2", nn.Linear(mlp_ratio * dim, dim))

    def forward(self, x_BHWC: Tensor, windows: Windows) -> Tensor:
        attended = windows.join(self.attn(windows.cut(self.norm1(x_BHWC)), windows.region_mask_WLL))
        x_BHWC = x_BHWC + _drop_path(attended, self.drop_path, self.training)
        return x_BHWC + _drop_path(self.mlp(self.norm2(x_BHWC)), self.drop_path, self.training)


class PatchMerging(nn.Module):
    """Halve the map: four neighbours side by side, normalised, projected to twice the width."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        height, width = x_BHWC.shape[1:3]
        x = F.pad(x_BHWC, (0, 0, 0, width % 2, 0, height % 2)) if height % 2 or width % 2 else x_BHWC
        corners = (x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2])
        merged: Tensor = self.reduction(self.norm(torch.cat(corners, dim=-1)))
        return merged


class SwinStage(nn.Module):
    """Blocks of one resolution, and the merging that follows (none after the last stage).

    Odd blocks shift their windows by half a window.
    """

    def __init__(self, config: GLIPConfig, stage: int, drop_paths: list[float]) -> None:
        super().__init__()
        dim, window = config.swin_embed_dim * 2**stage, config.swin_window
        self.window = window
        self.shifts = [block % 2 * (window // 2) for block in range(len(drop_paths))]
        self.blocks = nn.ModuleList(
            SwinBlock(dim, config.swin_heads[stage], window, config.swin_mlp_ratio, drop_path)
            for drop_path in drop_paths
        )
        self.downsample = PatchMerging(dim) if stage < 3 else None

    def forward(self, x_BHWC: Tensor) -> Tensor:
        batch, height, width, _ = x_BHWC.shape
        windows = {
            shift: cut_windows(batch, (height, width), self.window, shift, x_BHWC.device)
            for shift in sorted(set(self.shifts))
        }
        for block, shift in zip(self.blocks, self.shifts, strict=True):
            x_BHWC = block(x_BHWC, windows[shift])
        return x_BHWC


class PatchEmbedding(nn.Module):
    """4x4 patches of the image as vectors, normalised."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=4, stride=4)
        self.norm = nn.LayerNorm(dim)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        x_BHWC: Tensor = self.norm(self.proj(images_B3HW).permute(0, 2, 3, 1))
        return x_BHWC


class Swin(nn.Module):
    """The maps of the last three stages (strides 8, 16, 32), each with its own LayerNorm, [B, C, H, W]."""

    def __init__(self, config: GLIPConfig) -> None:
        super().__init__()
        self.frozen_stages = config.frozen_swin_stages
        self.patch_embed = PatchEmbedding(config.swin_embed_dim)
        blocks = sum(config.swin_depths)
        rates = [config.swin_drop_path * block / max(blocks - 1, 1) for block in range(blocks)]
        starts = [sum(config.swin_depths[:stage]) for stage in range(5)]
        self.layers = nn.ModuleList(
            SwinStage(config, stage, rates[starts[stage] : starts[stage + 1]]) for stage in range(4)
        )
        for stage in (1, 2, 3):
            self.add_module(f"norm{stage}", nn.LayerNorm(config.swin_embed_dim * 2**stage))
        self.apply(_initialise)
        for module in self._frozen():
            module.requires_grad_(False)

    def forward(self, images_B3HW: Tensor) -> list[Tensor]:
        x_BHWC = self.patch_embed(images_B3HW)
        maps = []
        for stage, layer in enumerate(self.layers):
            x_BHWC = layer(x_BHWC)
            if stage > 0:
                maps.append(self.get_submodule(f"norm{stage}")(x_BHWC).permute(0, 3, 1, 2))
            if stage < 3:
                x_BHWC = layer.get_submodule("downsample")(x_BHWC)
        return maps

    def train(self, mode: bool = True) -> Swin:
        """Set the training mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        for module in self._frozen():
            module.eval()
        return self

    def _frozen(self) -> list[nn.Module]:
        return [self.patch_embed, *self.layers[: self.frozen_stages]] if self.frozen_stages else []


class FeaturePyramid(nn.Module):
    """P3..P5 top-down from the Swin maps, further levels by strided convolution of the level below."""

    def __init__(self, config: GLIPConfig) -> None:
        super().__init__()
        self.drop_block_probability, self.drop_block_size = config.drop_block_probability, config.drop_block_size
        for stage in (2, 3, 4):
            width = config.swin_embed_dim * 2 ** (stage - 1)
            self.add_module(f"fpn_inner{stage}", nn.Conv2d(width, config.channels, 1))
            self.add_module(f"fpn_layer{stage}", nn.Conv2d(config.channels, config.channels, 3, padding=1))
        extra = range(6, 3 + config.num_levels)
        self.top_blocks = nn.ModuleDict(
            {f"p{level}": nn.Conv2d(config.channels, config.channels, 3, stride=2, padding=1) for level in extra}
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, swin_maps: list[Tensor]) -> list[Tensor]:
        merged = self.get_submodule("fpn_inner4")(swin_maps[2])
        levels = [self.get_submodule("fpn_layer4")(merged)]
        for stage, swin_map in ((3, swin_maps[1]), (2, swin_maps[0])):
            lateral = self.get_submodule(f"fpn_inner{stage}")(swin_map)
            merged = lateral + F.interpolate(merged, size=lateral.shape[-2:], mode="nearest")
            levels.insert(0, self.get_submodule(f"fpn_layer{stage}")(self._drop_block(merged)))
        for index, block in enumerate(self.top_blocks.values()):
            # The reference rectifies the input of every extra level but the first.
            levels.append(block(levels[-1] if index == 0 else F.relu(levels[-1])))
        return levels

    def _drop_block(self, map_BCHW: Tensor) -> Tensor:
        """DropBlock (Ghiasi et al., NeurIPS 2018): in training, whole squares of the map are zeroed. Drawn in float32,
        since bfloat16 draws in steps of 1/256 on a CPU."""
        if not self.training or self.drop_block_probability == 0:
            return map_BCHW
        size = self.drop_block_size
        seeds = torch.rand_like(map_BCHW[:, :1], dtype=torch.float32) < self.drop_block_probability / size**2
        kept = 1 - F.max_pool2d(seeds.float(), size, stride=1, padding=size // 2)
        return map_BCHW * (kept * (kept.numel() / kept.sum().clamp(min=1))).to(map_BCHW.dtype)


class VisionBackbone(nn.Module):
    """Swin (`body`) and pyramid (`fpn`) under the names of the published checkpoints."""

    def __init__(self, config: GLIPConfig) -> None:
        super().__init__()
        self.body = Swin(config)
        self.fpn = FeaturePyramid(config)

    def forward(self, images_B3HW: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.fpn(self.body(images_B3HW))
        return maps


def _drop_path(x: Tensor, probability: float, training: bool) -> Tensor:
    """Stochastic depth: in training, drop a branch for some images and scale it up for the others."""
    if not training or probability == 0:
        return x
    kept_B = torch.rand(x.shape[0], device=x.device) >= probability
    return x * (kept_B / (1 - probability)).to(x.dtype).view(-1, *[1] * (x.dim() - 1))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
