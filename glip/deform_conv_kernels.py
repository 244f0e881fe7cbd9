"""The two Triton kernels of the modulated deformable convolution (DCNv2, Zhu et al., CVPR 2019), launched by
deform_conv_triton.py.

In: a channel-last map and the raw offsets and masks. Out: the columns, bilinear samples times mask; or, from the
columns' gradient, those of the map, the offsets and the masks. One program does `block_rows` output positions and one
kernel point; sums are of the type of the offsets. What was checked where is told in deform_conv_triton.py.
"""

from __future__ import annotations

import triton
import triton.language as tl

# One compiled kernel for all levels and image sizes, instead of one for each pattern of divisibility.
_SIZES = ("first_row", "end_row", "positions", "width", "map_height", "map_width", "buffer_positions")


@triton.jit  # type: ignore[untyped-decorator]
def _corner(row, column, weight, inside, map_height, map_width):  # type: ignore[no-untyped-def]
    """Whether a corner of the sample lies in the map, its weight (0 outside) and its index in the flattened map."""
    inside = inside & (row >= 0) & (row < map_height) & (column >= 0) & (column < map_width)
    return inside, tl.where(inside, weight, 0.0), row.to(tl.int64) * map_width + column


@triton.jit  # type: ignore[untyped-decorator]
def _read_point(buffer, image, point, position, positions, buffer_positions, row_mask):  # type: ignore[no-untyped-def]
    """Offsets and mask (after the sigmoid) of one kernel point, from [B, 27, any size] read flat; where they lie."""
    image_start = image.to(tl.int64) * 27 * buffer_positions
    y_at = image_start + 2 * point * positions + position
    mask_at = image_start + 18 * buffer_positions + point * positions + position
    offset_y = tl.load(buffer + y_at, mask=row_mask, other=0.0)
    offset_x = tl.load(buffer + y_at + positions, mask=row_mask, other=0.0)
    modulation = 1.0 / (1.0 + tl.exp(-tl.load(buffer + mask_at, mask=row_mask, other=0.0)))
    return offset_y, offset_x, modulation, y_at, mask_at


@triton.jit  # type: ignore[untyped-decorator]
def _sampled(offset_y, offset_x, position, point, width, stride, map_height, map_width):  # type: ignore[no-untyped-def]
    """Row and column of the top left corner, the fractions below and right of it, and whether the sample reads at all.

    A sample that reads nothing is put at -2, which keeps the conversion to integers defined for any offset.
    """
    y = offset_y + (position // width * stride - 1 + point // 3)
    x = offset_x + (position % width * stride - 1 + point % 3)
    inside = (y > -1) & (x > -1) & (y < map_height) & (x < map_width)
    y = tl.where(inside, y, -2.0)
    x = tl.where(inside, x, -2.0)
    y0 = tl.floor(y)
    x0 = tl.floor(x)
    return y0.to(tl.int32), x0.to(tl.int32), y - y0, x - x0, inside


@triton.jit  # type: ignore[untyped-decorator]
def _rows(first_row, end_row, positions, block_rows: tl.constexpr):  # type: ignore[no-untyped-def]
    """The output positions of this program: their rows, whether there are so many, image and position in the image."""
    row = first_row + tl.program_id(1) * block_rows + tl.arange(0, block_rows)
    return row, row < end_row, row // positions, row % positions


@triton.jit  # type: ignore[untyped-decorator]
def _corners(  # type: ignore[no-untyped-def]
    offset_y, offset_x, modulation, position, point, row_mask, width, stride, map_height, map_width
):
    """The fractions of the samples, and of their four corners: whether they are read, their weights, their indices."""
    y0, x0, dy, dx, inside = _sampled(offset_y, offset_x, position, point, width, stride, map_height, map_width)
    inside = inside & row_mask
    m00, w00, i00 = _corner(y0, x0, (1 - dy) * (1 - dx) * modulation, inside, map_height, map_width)
    m01, w01, i01 = _corner(y0, x0 + 1, (1 - dy) * dx * modulation, inside, map_height, map_width)
    m10, w10, i10 = _corner(y0 + 1, x0, dy * (1 - dx) * modulation, inside, map_height, map_width)
    m11, w11, i11 = _corner(y0 + 1, x0 + 1, dy * dx * modulation, inside, map_height, map_width)
    return dy, dx, m00, m01, m10, m11, w00, w01, w10, w11, i00, i01, i10, i11


@triton.jit(do_not_specialize=_SIZES)  # type: ignore[untyped-decorator]
def columns_kernel(  # type: ignore[no-untyped-def]
    map_pointer, buffer, columns, first_row, end_row, positions, width, stride, map_height, map_width, buffer_positions,
    channels: tl.constexpr, block_rows: tl.constexpr, block_channels: tl.constexpr,
):  # fmt: skip
    """Columns of `block_rows` output positions and one kernel point."""
    point = tl.program_id(0)
    row, row_mask, image, position = _rows(first_row, end_row, positions, block_rows)
    offset_y, offset_x, modulation, _, _ = _read_point(
        buffer, image, point, position, positions, buffer_positions, row_mask
    )
    _, _, m00, m01, m10, m11, w00, w01, w10, w11, i00, i01, i10, i11 = _corners(
        offset_y, offset_x, modulation, position, point, row_mask, width, stride, map_height, map_width
    )
    image_start = (map_pointer + image.to(tl.int64) * map_height * map_width * channels)[:, None]
    column_start = columns + ((row - first_row).to(tl.int64) * 9 + point)[:, None] * channels
    for start in range(0, channels, block_channels):
        channel = start + tl.arange(0, block_channels)[None, :]
        in_range = channel < channels
        at = image_start + channel
        sample = w00[:, None] * tl.load(at + i00[:, None] * channels, mask=m00[:, None] & in_range, other=0.0)
        sample += w01[:, None] * tl.load(at + i01[:, None] * channels, mask=m01[:, None] & in_range, other=0.0)
        sample += w10[:, None] * tl.load(at + i10[:, None] * channels, mask=m10[:, None] & in_range, other=0.0)
        sample += w11[:, None] * tl.load(at + i11[:, None] * channels, mask=m11[:, None] & in_range, other=0.0)
        tl.store(column_start + channel, sample.to(columns.dtype.element_ty), mask=row_mask[:, None] & in_range)


@triton.jit  # type: ignore[untyped-decorator]
def _corner_gradient(  # type: ignore[no-untyped-def]
    at, grad_at, index, inside, in_range, grad, weight, channels: tl.constexpr
):
    """Adds one corner's share to the map's gradient; gives the product of the corner's values with the gradient."""
    mask = inside[:, None] & in_range
    values = tl.load(at + index[:, None] * channels, mask=mask, other=0.0).to(grad.dtype)
    tl.atomic_add(grad_at + index[:, None] * channels, grad * weight[:, None], mask=mask, sem="relaxed")
    return tl.sum(values * grad, axis=1)


@triton.jit(do_not_specialize=_SIZES)  # type: ignore[untyped-decorator]
def gradients_kernel(  # type: ignore[no-untyped-def]
    map_pointer, buffer, grad_columns, grad_map, grad_buffer,
    first_row, end_row, positions, width, stride, map_height, map_width, buffer_positions,
    channels: tl.constexpr, block_rows: tl.constexpr, block_channels: tl.constexpr,
):  # fmt: skip
    """Gradients of the map (added), of the offsets and of the mask before the sigmoid (written) from the columns'."""
    point = tl.program_id(0)
    row, row_mask, image, position = _rows(first_row, end_row, positions, block_rows)
    offset_y, offset_x, modulation, y_at, mask_at = _read_point(
        buffer, image, point, position, positions, buffer_positions, row_mask
    )
    dy, dx, m00, m01, m10, m11, w00, w01, w10, w11, i00, i01, i10, i11 = _corners(
        offset_y, offset_x, modulation, position, point, row_mask, width, stride, map_height, map_width
    )
    p00 = tl.zeros_like(dy)  # sum over channels of gradient times corner
    p01 = tl.zeros_like(dy)
    p10 = tl.zeros_like(dy)
    p11 = tl.zeros_like(dy)
    map_start = (image.to(tl.int64) * map_height * map_width * channels)[:, None]
    column_start = grad_columns + ((row - first_row).to(tl.int64) * 9 + point)[:, None] * channels
    for start in range(0, channels, block_channels):
        channel = start + tl.arange(0, block_channels)[None, :]
        in_range = channel < channels
        grad = tl.load(column_start + channel, mask=row_mask[:, None] & in_range, other=0.0).to(dy.dtype)
        at = map_pointer + map_start + channel
        grad_at = grad_map + map_start + channel
        p00 += _corner_gradient(at, grad_at, i00, m00, in_range, grad, w00, channels)
        p01 += _corner_gradient(at, grad_at, i01, m01, in_range, grad, w01, channels)
        p10 += _corner_gradient(at, grad_at, i10, m10, in_range, grad, w10, channels)
        p11 += _corner_gradient(at, grad_at, i11, m11, in_range, grad, w11, channels)
    sampled = (p00 * (1 - dx) + p01 * dx) * (1 - dy) + (p10 * (1 - dx) + p11 * dx) * dy
    tl.store(grad_buffer + y_at, modulation * ((p10 - p00) * (1 - dx) + (p11 - p01) * dx), mask=row_mask)
    tl.store(grad_buffer + y_at + positions, modulation * ((p01 - p00) * (1 - dy) + (p11 - p10) * dy), mask=row_mask)
    tl.store(grad_buffer + mask_at, sampled * modulation * (1 - modulation), mask=row_mask)
