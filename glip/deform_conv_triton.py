"""Modulated deformable convolution for GPUs: the operator `glip_engine::deform_conv` on our two Triton kernels.

In: a map, the raw offsets and masks, weight and bias, as `glip.deform_conv.deform_conv` takes them. Out: the convolved
map; gradients of all four. The kernels make the columns of Zhu et al. (CVPR 2019, DCNv2), bilinear samples times mask,
and take their gradients; the products with the weight are cuBLAS's. The columns are made for `_ROWS_AT_ONCE` positions
at a time and made again in the backward pass, so that their memory is bounded and none is kept for it.

Numbers: positions, interpolation and sums are float32 (float64 for a float64 map). A bfloat16 or float16 map gives
columns of its own type, multiplied with float32 sums. The map's gradient is added up atomically in float32, in no fixed
order: its last bits differ between runs.

Checked: the arithmetic of both kernels and the operator, under Triton's interpreter on a CPU, against plain PyTorch and
the published reference (tests/glip/test_deform_conv_triton.py); that Triton 3.6 and 3.9 compile the kernels for sm_90,
3.9 for sm_80 too, and 3.6 spills no register (benchmarks/kernel_resources.py), and loads and adds sixteen bytes at a
time. Not checked: anything on a real GPU, speed included. The tests marked `gpu` and benchmarks/deform_conv.py are for
that.

Shapes: B batch, C channels in, O channels out, H W map, h w output, K = 9 kernel points, R = B*h*w rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
from torch import Tensor

from glip.deform_conv_kernels import columns_kernel, gradients_kernel

_KERNEL_POINTS = 9
_ROWS_AT_ONCE = 65_536  # 9 * 256 float32 columns of that many positions are 600 MB
_BLOCK_ROWS = 8  # positions, by so many channels, that a program holds in registers at a time
_BLOCK_CHANNELS = 128


class _Geometry:
    """The sizes both kernels take, and the positions they are launched for, some at a time."""

    def __init__(self, map_BCHW: Tensor, offset_mask_B27HW: Tensor, stride: int) -> None:
        self.batch, self.channels, self.map_height, self.map_width = map_BCHW.shape
        self.height, self.width = -(-self.map_height // stride), -(-self.map_width // stride)
        self.rows = self.batch * self.height * self.width
        self.stride = stride
        self.buffer_positions = offset_mask_B27HW.shape[2] * offset_mask_B27HW.shape[3]

    def blocks(self) -> Iterator[tuple[int, int]]:
        """First and last + 1 of the rows whose columns are in memory at one time."""
        for first in range(0, self.rows, _ROWS_AT_ONCE):
            yield first, min(first + _ROWS_AT_ONCE, self.rows)

    def launch(self, kernel: Any, tensors: tuple[Tensor, ...], first: int, end: int) -> None:
        grid = (_KERNEL_POINTS, triton.cdiv(end - first, _BLOCK_ROWS))
        sizes = (self.height * self.width, self.width, self.stride, self.map_height, self.map_width)
        with torch.cuda.device_of(tensors[0]):  # type: ignore[no-untyped-call]
            kernel[grid](
                *tensors, first, end, *sizes, self.buffer_positions,
                channels=self.channels, **block_sizes(self.channels),
            )  # fmt: skip


def block_sizes(channels: int) -> dict[str, int]:
    """What a program of either kernel holds, as the kernels call it."""
    return {
        "block_rows": _BLOCK_ROWS,
        "block_channels": min(_BLOCK_CHANNELS, triton.next_power_of_2(channels)),
    }


def _readable(map_BCHW: Tensor, offset_mask_B27HW: Tensor) -> tuple[Tensor, Tensor]:
    """The map channel-last and the offsets dense and wide, as the kernels index them."""
    map_BHWC = map_BCHW.permute(0, 2, 3, 1).contiguous()
    wide = torch.promote_types(map_BCHW.dtype, torch.float32)
    return map_BHWC, offset_mask_B27HW.to(wide).contiguous()


def _matrix(weight_OC33: Tensor) -> Tensor:
    """[K*C, O], in the order of the columns."""
    return weight_OC33.permute(2, 3, 1, 0).flatten(0, 2)


_FORWARD = "(Tensor map_BCHW, Tensor offset_mask_B27HW, Tensor weight_OC33, Tensor bias_O, int stride) -> Tensor"
_BACKWARD = (
    "(Tensor grad_BOHW, Tensor map_BCHW, Tensor offset_mask_B27HW, Tensor weight_OC33, int stride)"
    " -> (Tensor, Tensor, Tensor)"
)


@torch.library.custom_op("glip_engine::deform_conv", mutates_args=(), schema=_FORWARD)
def deform_conv_triton(
    map_BCHW: Tensor, offset_mask_B27HW: Tensor, weight_OC33: Tensor, bias_O: Tensor, stride: int
) -> Tensor:
    """[B, O, h, w] in channels-last memory, of the map's type; weight and bias must be of that type too."""
    geometry = _Geometry(map_BCHW, offset_mask_B27HW, stride)
    map_BHWC, buffer = _readable(map_BCHW, offset_mask_B27HW)
    matrix = _matrix(weight_OC33)
    out_RO = map_BCHW.new_empty(geometry.rows, weight_OC33.shape[0])
    for first, end in geometry.blocks():
        columns = map_BCHW.new_empty(end - first, matrix.shape[0])
        geometry.launch(columns_kernel, (map_BHWC, buffer, columns), first, end)
        torch.addmm(bias_O, columns, matrix, out=out_RO[first:end])
    return out_RO.view(geometry.batch, geometry.height, geometry.width, len(weight_OC33)).permute(0, 3, 1, 2)


@deform_conv_triton.register_fake
def _(map_BCHW: Tensor, offset_mask_B27HW: Tensor, weight_OC33: Tensor, bias_O: Tensor, stride: int) -> Tensor:
    geometry = _Geometry(map_BCHW, offset_mask_B27HW, stride)
    out = map_BCHW.new_empty(geometry.batch, geometry.height, geometry.width, weight_OC33.shape[0])
    return out.permute(0, 3, 1, 2)


@torch.library.custom_op("glip_engine::deform_conv_backward", mutates_args=(), schema=_BACKWARD)
def _backward(
    grad_BOHW: Tensor, map_BCHW: Tensor, offset_mask_B27HW: Tensor, weight_OC33: Tensor, stride: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of map, offsets and masks, and weight, each of its input's shape and type."""
    geometry = _Geometry(map_BCHW, offset_mask_B27HW, stride)
    map_BHWC, buffer = _readable(map_BCHW, offset_mask_B27HW)
    matrix = _matrix(weight_OC33)
    grad_RO = grad_BOHW.permute(0, 2, 3, 1).reshape(geometry.rows, len(weight_OC33))
    grad_map = torch.zeros_like(map_BHWC, dtype=buffer.dtype)
    grad_buffer = torch.zeros_like(buffer)
    grad_matrix = torch.zeros_like(matrix, dtype=buffer.dtype)
    for first, end in geometry.blocks():
        columns = map_BCHW.new_empty(end - first, matrix.shape[0])
        geometry.launch(columns_kernel, (map_BHWC, buffer, columns), first, end)
        grad_matrix += columns.t() @ grad_RO[first:end]
        torch.mm(grad_RO[first:end], matrix.t(), out=columns)  # from here on the columns' gradient
        geometry.launch(gradients_kernel, (map_BHWC, buffer, columns, grad_map, grad_buffer), first, end)
    grad_weight = grad_matrix.view(3, 3, geometry.channels, len(weight_OC33)).permute(3, 2, 0, 1)
    return (
        grad_map.permute(0, 3, 1, 2).to(map_BCHW.dtype),
        grad_buffer.to(offset_mask_B27HW.dtype),
        grad_weight.to(weight_OC33.dtype).contiguous(),
    )


@_backward.register_fake
def _(
    grad_BOHW: Tensor, map_BCHW: Tensor, offset_mask_B27HW: Tensor, weight_OC33: Tensor, stride: int
) -> tuple[Tensor, Tensor, Tensor]:
    grad_map_BHWC = map_BCHW.new_empty(map_BCHW.permute(0, 2, 3, 1).shape)
    grad_buffer = offset_mask_B27HW.new_empty(offset_mask_B27HW.shape)
    return grad_map_BHWC.permute(0, 3, 1, 2), grad_buffer, weight_OC33.new_empty(weight_OC33.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    map_BCHW, offset_mask_B27HW, weight_OC33, _, ctx.stride = inputs
    ctx.save_for_backward(map_BCHW, offset_mask_B27HW, weight_OC33)


def _gradients(ctx: Any, grad_BOHW: Tensor) -> tuple[Tensor | None, ...]:
    grad_map, grad_offset_mask, grad_weight = _backward(grad_BOHW, *ctx.saved_tensors, ctx.stride)
    return grad_map, grad_offset_mask, grad_weight, grad_BOHW.sum((0, 2, 3)), None


deform_conv_triton.register_autograd(_gradients, setup_context=_save)
