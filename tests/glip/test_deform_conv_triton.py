"""Our Triton kernels against plain PyTorch: on a GPU where there is one, else under Triton's interpreter.

tests/conftest.py turns the interpreter on, before anything imports triton.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton", reason="triton is not installed")

from glip import deform_conv_engine, deform_conv_triton
from glip.deform_conv import deform_conv
from glip.deform_conv_torch import deform_conv_torch

pytestmark = pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")  # Triton 3.9 announces a new default

_INTERPRETED = pytest.mark.skipif(torch.cuda.is_available(), reason="the GPU runs the same test")


@pytest.fixture(
    params=[
        pytest.param("cpu", id="interpreter", marks=_INTERPRETED),
        pytest.param("cuda", id="gpu", marks=pytest.mark.gpu),
    ]
)
def device(request: pytest.FixtureRequest) -> str:
    """Where the kernels run."""
    return str(request.param)


Inputs = list[Tensor]


def make(
    map_shape: tuple[int, int, int, int], offset_hw: tuple[int, int], device: str, dtype: torch.dtype = torch.float32
) -> Inputs:
    """A map, offsets that reach past every border, weight and bias."""
    generator = torch.Generator().manual_seed(sum(map_shape))
    batch, channels = map_shape[:2]
    shapes = (map_shape, (batch, 27, *offset_hw), (4, channels, 3, 3), (4,))
    x, offset_mask, weight, bias = (torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes)
    return [tensor.to(device) for tensor in (x, offset_mask * 2, weight, bias)]


def answers(convolve: Callable[..., Tensor], inputs: Inputs, stride: int) -> list[Tensor]:
    """The output and the gradients of map, offsets and masks, weight and bias."""
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    out = convolve(*leaves, stride)
    direction = torch.linspace(-1, 1, out.numel(), dtype=out.dtype, device=out.device).view_as(out)
    return [out.detach(), *torch.autograd.grad(out, leaves, direction)]


def assert_as_plain_pytorch(inputs: Inputs, stride: int, tolerance: float) -> None:
    """Forward and every gradient, to a share of the largest value."""
    found = answers(deform_conv_triton.deform_conv_triton, inputs, stride)
    wanted = answers(deform_conv_torch, inputs, stride)
    for ours, plain in zip(found, wanted, strict=True):
        assert ours.shape == plain.shape
        torch.testing.assert_close(ours, plain, rtol=0, atol=tolerance * float(plain.abs().max()))


@pytest.mark.parametrize(
    ("map_shape", "offset_hw", "stride"),
    [
        ((2, 3, 3, 5), (3, 5), 1),
        ((2, 3, 5, 7), (3, 4), 2),
        ((1, 5, 4, 6), (2, 3), 2),
        ((3, 3, 3, 4), (5, 7), 1),  # the offset map larger than the output, read flat
        ((2, 5, 1, 1), (1, 1), 1),
        ((1, 130, 2, 3), (2, 3), 1),  # more channels than one block
    ],
)
def test_the_kernels_answer_as_plain_pytorch(
    map_shape: tuple[int, int, int, int], offset_hw: tuple[int, int], stride: int, device: str
) -> None:
    assert_as_plain_pytorch(make(map_shape, offset_hw, device, torch.float64), stride, 1e-12)
    assert_as_plain_pytorch(make(map_shape, offset_hw, device), stride, 1e-5)


def test_whole_and_half_positions_up_to_every_border(device: str) -> None:
    inputs = make((2, 3, 4, 5), (4, 5), device, torch.float64)
    steps = torch.randint(-9, 10, (2, 18, 4, 5), generator=torch.Generator().manual_seed(0))
    inputs[1][:, :18] = steps.to(inputs[1]) / 2
    assert_as_plain_pytorch(inputs, 1, 1e-12)


def test_offsets_without_bound_read_nothing(device: str) -> None:
    inputs = make((1, 3, 4, 5), (4, 5), device)
    inputs[1][:, :18] = 1e30
    inputs[1][:, :18, 2:] = -1e30
    found = answers(deform_conv_triton.deform_conv_triton, inputs, 1)
    assert torch.equal(found[0], inputs[3].view(1, 4, 1, 1).expand(1, 4, 4, 5))
    assert not any(gradient.any() for gradient in found[1:4])


def test_no_image_gives_no_output_and_no_gradient(device: str) -> None:
    out, grad_map, _, grad_weight, _ = answers(
        deform_conv_triton.deform_conv_triton, make((0, 3, 4, 5), (4, 5), device), 1
    )
    assert out.shape == (0, 4, 4, 5)
    assert grad_map.shape == (0, 3, 4, 5)
    assert not grad_weight.any()


@pytest.mark.parametrize("layout", ["channels_last", "every second column", "transposed"])
def test_the_layout_of_the_inputs_changes_nothing(layout: str, device: str) -> None:
    x, offset_mask, weight, bias = make((2, 4, 3, 4), (3, 4), device)
    if layout == "channels_last":
        x, offset_mask = (t.contiguous(memory_format=torch.channels_last) for t in (x, offset_mask))
    elif layout == "every second column":
        x, offset_mask = (t.repeat_interleave(2, dim=3)[..., ::2] for t in (x, offset_mask))
    else:
        x, offset_mask, weight = (t.mT.contiguous().mT for t in (x, offset_mask, weight))
    assert_as_plain_pytorch([x, offset_mask, weight, bias], 1, 1e-5)


def test_positions_a_few_at_a_time_give_what_all_at_once_give(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deform_conv_triton, "_ROWS_AT_ONCE", 13)
    assert_as_plain_pytorch(make((2, 3, 3, 5), (3, 5), device, torch.float64), 1, 1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_narrow_map_is_sampled_at_float32_positions(dtype: torch.dtype, device: str) -> None:
    x, offset_mask, weight, bias = make((2, 8, 3, 4), (3, 4), device)
    narrow = [x.to(dtype), offset_mask, weight.to(dtype), bias.to(dtype)]
    wide = [narrow[0].float(), offset_mask, narrow[2].float(), narrow[3].float()]
    found = answers(deform_conv_triton.deform_conv_triton, narrow, 1)
    wanted = answers(deform_conv_torch, wide, 1)
    for ours, plain, given in zip(found, wanted, [narrow[0], *narrow], strict=True):
        assert ours.dtype == given.dtype
        # eight bits of mantissa: each column, product and gradient is rounded to 2^-8 of itself at worst
        torch.testing.assert_close(ours.float(), plain, rtol=0, atol=2**-6 * float(plain.abs().max()))


@pytest.mark.parametrize("requires_grad", [False, True])
def test_the_operator_keeps_the_rules_of_torch_library(requires_grad: bool, device: str) -> None:
    inputs = [tensor.requires_grad_(requires_grad) for tensor in make((1, 3, 3, 4), (3, 4), device)]
    torch.library.opcheck(torch.ops.glip_engine.deform_conv.default, (*inputs, 1))


def test_a_compiled_model_gives_the_same_gradients(device: str) -> None:
    inputs = make((2, 3, 4, 5), (4, 5), device)

    def twice(*arguments: Tensor) -> Tensor:
        return torch.ops.glip_engine.deform_conv(*arguments, 1).relu() * 2  # type: ignore[no-any-return]

    backend = "inductor" if device == "cuda" else "aot_eager"
    compiled = torch.compile(twice, fullgraph=True, backend=backend)
    for ours, plain in zip(
        answers(lambda *a: compiled(*a[:4]), inputs, 1), answers(lambda *a: twice(*a[:4]), inputs, 1), strict=True
    ):
        torch.testing.assert_close(ours, plain)


@pytest.mark.data
@pytest.mark.parametrize(
    ("case", "stride"),
    [
        pytest.param("same", 1, marks=pytest.mark.slow),  # half a minute under the interpreter
        pytest.param("finer_stride2", 2, marks=pytest.mark.slow),
        ("coarser", 1),
    ],
)
def test_the_kernels_equal_the_published_reference(case: str, stride: int, device: str, fixtures_folder: Path) -> None:
    from safetensors.torch import load_file

    path = fixtures_folder / "units.safetensors"
    if not path.is_file():
        pytest.skip(f"no {path}")
    units = {name: tensor.to(device) for name, tensor in load_file(path).items() if name.startswith("dcn.")}
    leaves = [units[f"dcn.{name}"].requires_grad_() for name in (f"{case}.x", "offset_mask_raw", "weight", "bias")]
    out = deform_conv_triton.deform_conv_triton(*leaves, stride)
    gradients = torch.autograd.grad(out, leaves[:3], units[f"dcn.{case}.grad_out"])
    names = ("out", "grad_x", "grad_offset_mask_raw", "grad_weight")
    for ours, name in zip((out, *gradients), names, strict=True):
        wanted = units[f"dcn.{case}.{name}"]
        torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))


@torch.inference_mode()
def test_an_engine_is_tried_in_the_midst_of_an_inference_in_bfloat16(device: str) -> None:
    with torch.autocast(device, torch.bfloat16):
        assert deform_conv_engine.choose_engine(device, None) == "triton"


def test_an_engine_is_chosen_where_it_answers_right(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert deform_conv_engine.choose_engine(device, None) == "triton"

    def wrong(*inputs: Tensor) -> Tensor:
        return deform_conv_torch(*inputs) * 1.1  # type: ignore[arg-type]

    def broken(*inputs: Tensor) -> Tensor:
        raise RuntimeError("no kernel image is available for this device")

    for refused in (wrong, broken):
        monkeypatch.setitem(deform_conv_engine.ENGINES, "triton", refused)
        assert deform_conv_engine.choose_engine(device, None) != "triton"


@pytest.mark.gpu
@pytest.mark.parametrize("engine", ["triton", "torchvision", "torch"])
def test_a_map_on_a_gpu_is_convolved_by_the_chosen_engine(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not deform_conv_engine.is_installed(engine):
        pytest.skip(f"{engine} is not installed")
    monkeypatch.setattr(deform_conv_engine, "_chosen", [])
    monkeypatch.setenv(deform_conv_engine.VARIABLE, engine)
    inputs = make((2, 64, 25, 38), (25, 38), "cpu")
    found = deform_conv(*(tensor.cuda() for tensor in inputs))
    assert deform_conv_engine.gpu_engine() == engine
    torch.testing.assert_close(found.cpu(), deform_conv(*inputs), rtol=1e-4, atol=1e-3)
