"""The parts of the model against recordings of the reference implementation, and the whole model by the benchmark."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from parity_rules import rule_weight
from safetensors.torch import load_file
from torch import Tensor

from glip import boxes as box_math
from glip.anchors import anchor_grid
from glip.assignment import NO_BOX, assign
from glip.config import GLIPConfig
from glip.deform_conv import deform_conv
from glip.head import DyConv, DynamicReLU
from glip.losses import focal_losses
from glip.nms import nms

PARITY = Path(__file__).parents[2] / "benchmarks" / "parity.py"
pytestmark = pytest.mark.data

Units = dict[str, Tensor]


@pytest.fixture
def units(fixtures_folder: Path) -> Units:
    path = fixtures_folder / "units.safetensors"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return load_file(path)


def assert_near(found: Tensor, wanted: Tensor, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("case", "stride"), [("same", 1), ("finer_stride2", 2), ("coarser", 1)])
def test_deformable_convolution_and_its_gradients_equal_the_reference(units: Units, case: str, stride: int) -> None:
    x, offset_mask, weight, bias = (
        units[name].clone().requires_grad_()
        for name in (f"dcn.{case}.x", "dcn.offset_mask_raw", "dcn.weight", "dcn.bias")
    )
    out = deform_conv(x, offset_mask, weight, bias, stride=stride)
    assert_near(out, units[f"dcn.{case}.out"], 1e-5)
    out.backward(units[f"dcn.{case}.grad_out"])
    for tensor, name in ((x, "x"), (offset_mask, "offset_mask_raw"), (weight, "weight")):
        assert tensor.grad is not None
        assert_near(tensor.grad, units[f"dcn.{case}.grad_{name}"])


def test_box_coding_equals_the_reference(units: Units) -> None:
    assert_near(box_math.encode(units["box.gt"], units["box.anchors"]), units["box.encoded"])
    assert_near(box_math.decode(units["box.deltas"], units["box.anchors"]), units["box.decoded"])


def test_anchors_equal_the_reference(units: Units) -> None:
    shapes = [(12, 16), (6, 8), (3, 4), (2, 2), (1, 1)]
    assert_near(anchor_grid(shapes, GLIPConfig.tiny(), "cpu"), units["anchors.96x128"])


def test_focal_loss_and_its_gradient_equal_the_reference(units: Units) -> None:
    logits = units["focal.logits"].clone().requires_grad_()
    losses = focal_losses(logits, units["focal.targets"].bool(), alpha=0.25, gamma=2.0)
    total = (losses * units["focal.text_mask"].unsqueeze(1)).sum()
    total.backward()
    assert_near(total.unsqueeze(0), units["focal.loss_sum"], 1e-5)
    assert logits.grad is not None
    assert_near(logits.grad, units["focal.grad"], 1e-5)


def test_giou_loss_and_its_gradient_equal_the_reference(units: Units) -> None:
    codes, anchors = units["giou.pred_deltas"].clone().requires_grad_(), units["box.anchors"]
    targets = box_math.decode(units["giou.target_deltas"], anchors)
    total = ((1 - box_math.generalized_iou(box_math.decode(codes, anchors), targets)) * units["giou.weight"]).sum()
    total.backward()
    assert_near(total.unsqueeze(0), units["giou.loss_sum"], 1e-5)
    assert codes.grad is not None
    assert_near(codes.grad, units["giou.grad"])


def test_centerness_targets_equal_the_reference(units: Units) -> None:
    found = box_math.centerness(units["centerness.gt"], units["centerness.anchors"])
    assert_near(found, units["centerness.target"], 1e-5)


def test_dynamic_convolution_mixes_levels_as_the_reference(units: Units) -> None:
    config = dataclasses.replace(GLIPConfig.tiny(), channels=64, fusion_width=64)
    layer = DyConv(config)
    layer.load_state_dict(
        {key: rule_weight(f"unit.dyconv.{key}", tuple(v.shape)) for key, v in layer.state_dict().items()}
    )
    found = layer([units[f"dyconv.in{level}"] for level in range(5)])
    for level, value in enumerate(found):
        assert_near(value, units[f"dyconv.out{level}"])


def test_dynamic_relu_equals_the_reference(units: Units) -> None:
    layer = DynamicReLU(64)
    keys = {key: f"unit.dyconv.relu.{key}" for key in layer.state_dict()}
    layer.load_state_dict({k: rule_weight(keys[k], tuple(v.shape)) for k, v in layer.state_dict().items()})
    assert_near(layer(units["dyrelu.in"]), units["dyrelu.out"], 1e-5)


@pytest.mark.parametrize("max_iou", [0.6, 0.3])
def test_nms_keeps_what_the_reference_keeps(units: Units, max_iou: float) -> None:
    kept = nms(units["nms.boxes"], units["nms.scores"], units["nms.labels"].long(), max_iou)
    assert kept.tolist() == units[f"nms.keep_{max_iou}"].tolist()


def test_assignment_with_contested_anchors_equals_the_reference(units: Units) -> None:
    shapes = [(40, 52), (20, 26), (10, 13), (5, 7), (3, 4)]
    anchors, truth = anchor_grid(shapes, GLIPConfig.tiny(), "cpu"), units["atss.gt"]
    box = assign(anchors, [height * width for height, width in shapes], truth, 9)
    positive = (box != NO_BOX).nonzero().squeeze(1)
    assert positive.tolist() == units["atss.pos_anchor_index"].tolist()
    assert box[positive].tolist() == units["atss.pos_gt_index"].tolist()
    assert_near(box_math.encode(truth[box[positive]], anchors[positive]), units["atss.pos_reg_target"])
    centerness = box_math.centerness(truth[box[positive]], anchors[positive])
    assert_near(centerness, units["atss.pos_centerness_target"], 1e-5)


@pytest.mark.slow
def test_the_whole_of_glip_t_equals_the_reference(fixtures_folder: Path) -> None:
    fixture = fixtures_folder / "glip_t.json"
    run = subprocess.run(
        [sys.executable, PARITY, fixture, "--inference-only"], capture_output=True, text=True, timeout=600, check=False
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
