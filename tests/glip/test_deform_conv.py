"""Deformable convolution: plain PyTorch against the definition written out, and the choice of an engine."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode

from glip import deform_conv_engine, deform_conv_torch
from glip.deform_conv import deform_conv
from glip.deform_conv_engine import choose_engine, is_installed


def by_definition(x: Tensor, offset_mask: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    """One number at a time, from the formula: 0 at -1 and further out, corners outside the map count as 0."""
    batch, _, map_height, map_width = x.shape
    height, width = math.ceil(map_height / stride), math.ceil(map_width / stride)
    positions = height * width
    out = bias.view(1, -1, 1).repeat(batch, 1, positions)
    for image in range(batch):
        offsets, masks = offset_mask[image, :18].flatten(), offset_mask[image, 18:].flatten().sigmoid()
        for position in range(positions):
            for point in range(9):
                y = position // width * stride - 1 + point // 3 + float(offsets[2 * point * positions + position])
                at = position % width * stride - 1 + point % 3
                z = at + float(offsets[(2 * point + 1) * positions + position])
                if not (-1 < y < map_height and -1 < z < map_width):
                    continue
                for row in (math.floor(y), math.floor(y) + 1):
                    for column in (math.floor(z), math.floor(z) + 1):
                        if 0 <= row < map_height and 0 <= column < map_width:
                            share = (1 - abs(y - row)) * (1 - abs(z - column)) * masks[point * positions + position]
                            out[image, :, position] += (
                                weight[:, :, point // 3, point % 3] @ x[image, :, row, column] * share
                            )
    return out.view(batch, -1, height, width)


def case(height: int, width: int, *, stride: int = 1, batch: int = 2) -> list[Tensor]:
    """A map, offsets that reach past every border, weight and bias, in float64."""
    generator = torch.Generator().manual_seed(height * width + stride)
    out_h, out_w = math.ceil(height / stride), math.ceil(width / stride)
    shapes = ((batch, 3, height, width), (batch, 27, out_h, out_w), (2, 3, 3, 3), (2,))
    x, offset_mask, weight, bias = (torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes)
    return [x, offset_mask * 2, weight, bias]


@pytest.mark.parametrize(
    ("height", "width", "stride"), [(4, 6, 1), (5, 3, 1), (5, 7, 2), (4, 6, 2), (1, 1, 1), (1, 4, 2)]
)
def test_it_is_the_definition(height: int, width: int, stride: int) -> None:
    inputs = case(height, width, stride=stride)
    torch.testing.assert_close(deform_conv(*inputs, stride=stride), by_definition(*inputs, stride))


def test_whole_and_half_positions_up_to_every_border_are_the_definition() -> None:
    x, offset_mask, weight, bias = case(4, 5)
    offset_mask[:, :18] = torch.randint(-9, 10, (2, 18, 4, 5), generator=torch.Generator().manual_seed(0)) / 2
    torch.testing.assert_close(
        deform_conv(x, offset_mask, weight, bias), by_definition(x, offset_mask, weight, bias, 1)
    )


def test_an_offset_map_larger_than_the_output_is_read_flat() -> None:
    x, _, weight, bias = case(3, 4)
    offset_mask = case(5, 7)[1]
    torch.testing.assert_close(
        deform_conv(x, offset_mask, weight, bias), by_definition(x, offset_mask, weight, bias, 1)
    )


def test_an_offset_map_smaller_than_the_output_is_refused() -> None:
    x, _, weight, bias = case(5, 7)
    with pytest.raises(ValueError, match="has 12 positions, the output needs 35"):
        deform_conv(x, case(3, 4)[1], weight, bias)


def test_without_offsets_it_is_a_convolution() -> None:
    x, weight, bias = torch.randn(2, 4, 7, 9), torch.randn(3, 4, 3, 3), torch.randn(3)
    fully_open = torch.cat((torch.zeros(2, 18, 7, 9), torch.full((2, 9, 7, 9), 50.0)), dim=1)
    wanted = torch.nn.functional.conv2d(x, weight, bias, padding=1)
    torch.testing.assert_close(deform_conv(x, fully_open, weight, bias), wanted, rtol=1e-4, atol=1e-5)


def test_its_gradient_is_that_of_its_function() -> None:
    inputs = [x.requires_grad_() for x in case(4, 5, batch=1)]
    assert torch.autograd.gradcheck(deform_conv, inputs)


def test_a_sample_exactly_one_pixel_outside_has_no_gradient() -> None:
    x, offset_mask, weight, bias = case(3, 3, batch=1)
    offset_mask = torch.zeros_like(offset_mask).requires_grad_()
    deform_conv(x, offset_mask, weight, bias).sum().backward()
    assert offset_mask.grad is not None
    top_left_point = offset_mask.grad[0, :2]  # reads row -1 for outputs of row 0, column -1 for those of column 0
    assert not top_left_point[:, 0].any()
    assert not top_left_point[:, :, 0].any()
    assert top_left_point[:, 1:, 1:].all()


def test_huge_offsets_read_nothing() -> None:
    far = torch.cat((torch.full((1, 18, 4, 4), 1e30), torch.zeros(1, 9, 4, 4)), dim=1)
    out = deform_conv(torch.ones(1, 2, 4, 4), far, torch.ones(3, 2, 3, 3), torch.tensor([1.0, 2.0, 3.0]))
    assert torch.equal(out, torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4))


def test_some_positions_at_a_time_give_what_all_at_once_give(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = case(5, 7)
    at_once = deform_conv(*inputs)
    monkeypatch.setattr(deform_conv_torch, "_CACHED_ROWS", 11)
    torch.testing.assert_close(deform_conv(*inputs), at_once)


def test_no_image_gives_no_output() -> None:
    assert deform_conv(*case(4, 5, batch=0)).shape == (0, 2, 4, 5)


def test_under_autocast_samples_and_weights_are_rounded_and_positions_are_not() -> None:
    x, offset_mask, weight, bias = (t.float() for t in case(2, 600, batch=1))  # bfloat16 tells 300 from 302, not 301
    wanted = deform_conv(x, offset_mask, weight, bias)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = deform_conv(x, offset_mask, weight, bias)
    assert found.dtype == torch.float32
    assert not torch.equal(found, wanted)
    assert (found - wanted).abs().max() < 0.02 * wanted.abs().max()


@pytest.mark.filterwarnings("ignore:.*CUDA is not available")  # said where there is no GPU; nothing is computed here
@pytest.mark.parametrize(("engine", "product"), [("triton", torch.bfloat16), ("torchvision", torch.float32)])
def test_under_autocast_our_kernels_multiply_a_wide_map_in_its_type(
    engine: str, product: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.dtype] = []

    def convolve(x: Tensor, offset_mask: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
        seen.extend(tensor.dtype for tensor in (x, offset_mask, weight, bias))
        return x

    monkeypatch.setattr(deform_conv_engine, "_chosen", [engine])
    monkeypatch.setitem(deform_conv_engine.ENGINES, engine, convolve)
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: device == "cuda")
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda device: torch.bfloat16)
    with FakeTensorMode():
        shapes = ((1, 4, 5, 6), (1, 27, 5, 6), (4, 4, 3, 3), (4,))
        out = deform_conv(*(torch.empty(shape, device="cuda") for shape in shapes))
    assert seen == [product, torch.float32, product, product]
    assert out.dtype == torch.float32


@torch.inference_mode()
def test_an_engine_is_tried_in_the_midst_of_an_inference_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the first map of a job: its gradients are looked at, and no product is rounded."""
    monkeypatch.setattr(deform_conv_engine, "is_installed", lambda name: True)
    monkeypatch.setattr(deform_conv_engine, "load", lambda name: None)
    monkeypatch.setitem(deform_conv_engine.ENGINES, "triton", deform_conv_torch.deform_conv_torch)
    with torch.autocast("cpu", torch.bfloat16):
        assert choose_engine("cpu", None) == "triton"


def test_an_unknown_engine_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"GLIP_ENGINE_DEFORM_CONV=cuda: .*triton, torchvision, torch"):
        choose_engine("cpu", "cuda")


def test_a_forced_engine_that_is_not_installed_is_an_error() -> None:
    if is_installed("torchvision"):
        pytest.skip("torchvision is installed")
    with pytest.raises(ImportError, match="torchvision is not installed"):
        choose_engine("cpu", "torchvision")


def test_a_compiled_graph_holds_the_chosen_engine_as_a_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deform_conv_engine, "_chosen", [])
    monkeypatch.setenv(deform_conv_engine.VARIABLE, "torch")

    def scaled(x: Tensor) -> Tensor:
        return x * len(deform_conv_engine.gpu_engine())

    compiled = torch.compile(scaled, fullgraph=True, backend="eager")
    assert compiled(torch.ones(1)).item() == len("torch")
