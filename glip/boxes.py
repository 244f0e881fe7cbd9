"""Box arithmetic: coding relative to anchors, IoU, GIoU, centerness.

In and out: boxes xyxy in pixels. The published models were trained with the "+1" convention (a box from 3 to 5 is
three wide) in coding, IoU and NMS, but without it in GIoU; both are kept as they were.

Shapes: N, M boxes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_SHIFT_WEIGHT, _SIZE_WEIGHT = 10.0, 5.0
_MAX_LOG_RATIO = math.log(1000 / 16)


def encode(boxes_xyxy_N4: Tensor, anchors_xyxy_N4: Tensor) -> Tensor:
    """Regression targets [N, 4] (dx, dy, dw, dh) of boxes seen from their anchors."""
    centre, size = _centre_size(boxes_xyxy_N4)
    anchor_centre, anchor_size = _centre_size(anchors_xyxy_N4)
    shift = (centre - anchor_centre) / anchor_size
    return torch.cat((_SHIFT_WEIGHT * shift, _SIZE_WEIGHT * (size / anchor_size).log()), dim=-1)


def decode(codes_N4: Tensor, anchors_xyxy_N4: Tensor) -> Tensor:
    """The inverse of encode: boxes xyxy [N, 4]; a side grows at most 62.5-fold."""
    anchor_centre, anchor_size = _centre_size(anchors_xyxy_N4)
    shift, log_ratio = codes_N4[..., :2] / _SHIFT_WEIGHT, codes_N4[..., 2:] / _SIZE_WEIGHT
    centre = shift * anchor_size + anchor_centre
    half = (log_ratio.clamp(max=_MAX_LOG_RATIO).exp() * anchor_size - 1) / 2
    return torch.cat((centre - half, centre + half), dim=-1)


def pairwise_iou(first_xyxy: Tensor, second_xyxy: Tensor) -> Tensor:
    """IoU [..., N, M] with "+1" sizes of [..., N, 4] and [..., M, 4]."""
    low = torch.maximum(first_xyxy[..., :, None, :2], second_xyxy[..., None, :, :2])
    high = torch.minimum(first_xyxy[..., :, None, 2:], second_xyxy[..., None, :, 2:])
    overlap = (high - low + 1).clamp(min=0).prod(dim=-1)
    area_first, area_second = ((box[..., 2:] - box[..., :2] + 1).prod(dim=-1) for box in (first_xyxy, second_xyxy))
    return overlap / (area_first[..., :, None] + area_second[..., None, :] - overlap)


def generalized_iou(predicted_xyxy_N4: Tensor, target_xyxy_N4: Tensor) -> Tensor:
    """GIoU [N] of pairs (Rezatofighi et al., CVPR 2019), areas without "+1"; in [-1, 1]."""
    top_left = predicted_xyxy_N4[:, :2]
    predicted = torch.cat((top_left, torch.maximum(top_left, predicted_xyxy_N4[:, 2:])), dim=1)
    overlap = _area(
        torch.maximum(predicted[:, :2], target_xyxy_N4[:, :2]), torch.minimum(predicted[:, 2:], target_xyxy_N4[:, 2:])
    )
    enclosing = 1e-7 + _area(
        torch.minimum(predicted[:, :2], target_xyxy_N4[:, :2]), torch.maximum(predicted[:, 2:], target_xyxy_N4[:, 2:])
    )
    areas = [_area(box[:, :2], box[:, 2:]) for box in (predicted, target_xyxy_N4)]
    union = areas[0] + areas[1] - overlap + 1e-7
    return overlap / union - (enclosing - union) / enclosing


def centerness(boxes_xyxy_N4: Tensor, anchors_xyxy_N4: Tensor) -> Tensor:
    """[N] in [0, 1]: 1 where the anchor's centre is the box's, 0 at its border. Centres must lie inside."""
    centre = _centre_size(anchors_xyxy_N4)[0]
    to_low, to_high = centre - boxes_xyxy_N4[:, :2], boxes_xyxy_N4[:, 2:] - centre
    balance = torch.minimum(to_low, to_high) / torch.maximum(to_low, to_high)
    return balance.prod(dim=1).clamp(min=0).sqrt()


def centres(boxes_xyxy: Tensor) -> Tensor:
    """(x, y) middle of each box, without the half pixel of the "+1" convention."""
    return (boxes_xyxy[..., :2] + boxes_xyxy[..., 2:]) / 2


def _centre_size(boxes_xyxy: Tensor) -> tuple[Tensor, Tensor]:
    return centres(boxes_xyxy), boxes_xyxy[..., 2:] - boxes_xyxy[..., :2] + 1


def _area(low_N2: Tensor, high_N2: Tensor) -> Tensor:
    return (high_N2 - low_N2).clamp(min=0).prod(dim=-1)
