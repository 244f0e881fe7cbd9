"""Compare GLIP with recordings of the reference implementation, stage by stage.

    python benchmarks/parity.py ../shared/glip/glip_t.json [more.json ...] [--inference-only]

A fixture is NAME.json with NAME.safetensors beside it: image sizes, token ids, targets, and samples of every stage's
tensor from a run of the reference. Weights and images follow from a rule (key and shape, tag and size), so none are
stored. Prints a line per stage (name, error, tolerance, ok) and the worst of them, then detections, then losses,
targets and gradients if the fixture has them. Exit status 1 if anything is beyond its tolerance.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
from parity_rules import rule_image, rule_model
from parity_stages import EARLY_TOLERANCE, GRADIENT_TOLERANCE, LATE_TOLERANCE, LOSS_TOLERANCE, Recorder, Report
from safetensors.torch import load_file
from torch import Tensor

from glip import boxes as box_math
from glip.anchors import anchor_grid
from glip.assignment import NO_BOX, assign
from glip.config import GLIPConfig
from glip.head import GLIPOutput
from glip.losses import GroundingTarget, grounding_losses
from glip.model import GLIP
from glip.postprocess import ground

CONFIGS = {"glip_t": GLIPConfig.tiny, "glip_l": GLIPConfig.large}
LOSS_NAMES = {"loss_reg": "loss_box", "loss_centerness": "loss_centerness", "loss_dot_product_token": "loss_token"}


def check_weights(model: GLIP, probes: dict[str, Any], report: Report) -> None:
    weights = model.state_dict()
    shared = [key for key in probes if key in weights]
    errors = [abs(weights[key].double().norm().item() / probes[key]["l2"] - 1) for key in shared if probes[key]["l2"]]
    errors += [(weights[k].flatten()[:3].cpu() - torch.tensor(probes[k]["first3"])).abs().max().item() for k in shared]
    report.add(f"weights by the rule ({len(shared)} probes)", max(errors), 1e-6)


def build_inputs(fixture: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    """Padded images, token ids and attention mask as the reference saw them."""
    sizes, ids = fixture["image_sizes_hw"], fixture["token_ids"]
    images = torch.zeros(len(sizes), 3, *fixture["padded_hw"])
    for i, (height, width) in enumerate(sizes):
        images[i, :, :height, :width] = rule_image(f"{fixture['variant']}/image{i}", height, width)
    token_ids = torch.zeros(len(ids), fixture["max_query_len"], dtype=torch.long)
    mask = torch.zeros_like(token_ids, dtype=torch.bool)
    for i, row in enumerate(ids):
        token_ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = True
    return images, token_ids, mask


def compare_outputs(recorder: Recorder, output: GLIPOutput, tokens: int) -> None:
    levels = zip(output.box_regression, output.centerness, output.logits, strict=True)
    for level, (boxes, centerness, logits) in enumerate(levels, start=3):
        recorder.compare(f"out.bbox_reg.p{level}", boxes.transpose(1, 2))
        recorder.compare(f"out.centerness.p{level}", centerness)
        recorder.compare(f"out.dot_logits.p{level}", logits)
        recorder.compare(f"out.dot_logits_valid.p{level}", logits[:, :, :tokens])


def compare_detections(
    fixture: dict[str, Any], samples: dict[str, Tensor], output: GLIPOutput, config: GLIPConfig, report: Report
) -> None:
    """Every recorded detection needs one of ours of the same label, score and box, and the reverse."""
    rule = fixture["postprocess"]
    config = dataclasses.replace(
        config,
        candidate_min_score=rule["INFERENCE_TH"],
        max_candidates_per_level=rule["PRE_NMS_TOP_N"],
        nms_max_iou=rule["NMS_TH"],
        max_boxes_per_image=rule["DETECTIONS_PER_IMG"],
    )
    labels = sorted(int(label) for label in fixture["positive_map_label_to_token"])
    positions = [fixture["positive_map_label_to_token"][str(label)] for label in labels]
    sizes = [(height, width) for height, width in fixture["image_sizes_hw"]]
    found = ground(output, [positions] * len(sizes), sizes, sizes, config)
    for i, ours in enumerate(found):
        wanted = {part: samples[f"det.image{i}.{part}"] for part in ("boxes", "labels", "scores")}
        our_labels = torch.tensor(labels)[ours.phrase_index_K.cpu()]
        cut = min([*wanted["scores"].tolist(), *ours.scores_K.tolist()], default=0.0)
        matched, worst = match_detections(ours.boxes_xyxy_K4.cpu(), our_labels, ours.scores_K.cpu(), wanted)
        capped = max(len(ours.scores_K), len(wanted["scores"])) >= rule["DETECTIONS_PER_IMG"]
        lonely = [wanted["scores"][j].item() for j in range(len(wanted["scores"])) if j not in matched]
        lonely += [ours.scores_K[k].item() for k in range(len(ours.scores_K)) if k not in matched.values()]
        # Rounding decides which of two equal scores is the last one kept.
        differing = [score for score in lonely if not (capped and score - cut < LATE_TOLERANCE)]
        name = f"det.image{i}: {len(matched)} of {len(wanted['scores'])} equal, {len(ours.scores_K)} found; score, box"
        report.add(name, worst if not differing else math.inf, LATE_TOLERANCE)


def match_detections(
    boxes: Tensor, labels: Tensor, scores: Tensor, wanted: dict[str, Tensor]
) -> tuple[dict[int, int], float]:
    """The pairs {recorded: ours} within tolerance, and their worst error (of scores; of boxes in units of 100
    pixels)."""
    errors = torch.maximum(
        (wanted["scores"].unsqueeze(1) - scores).abs(),
        (wanted["boxes"].unsqueeze(1) - boxes).abs().amax(dim=-1) / 100,
    )
    errors = errors.masked_fill(wanted["labels"].long().unsqueeze(1) != labels, math.inf)
    matched: dict[int, int] = {}
    worst = 0.0
    for j in range(len(errors)):
        free = errors[j].clone()
        free[list(matched.values())] = math.inf
        if len(free) and free.min() <= LATE_TOLERANCE:
            matched[j] = int(free.argmin())
            worst = max(worst, free.min().item())
    return matched, worst


def build_targets(fixture: dict[str, Any]) -> list[GroundingTarget]:
    targets = []
    rows = zip(fixture["targets"]["boxes_xyxy"], fixture["targets"]["token_indices_per_box"], strict=True)
    for boxes, tokens in rows:
        token_map = torch.zeros(len(boxes), fixture["max_query_len"], dtype=torch.bool)
        for box, positions in enumerate(tokens):
            token_map[box, positions] = True
        targets.append(GroundingTarget(torch.tensor(boxes).view(-1, 4), token_map))
    return targets


def compare_targets(
    fixture: dict[str, Any], samples: dict[str, Tensor], output: GLIPOutput, config: GLIPConfig, report: Report
) -> None:
    anchors = anchor_grid(output.level_shapes, config, "cpu")
    lengths = [height * width for height, width in output.level_shapes]
    for i, target in enumerate(build_targets(fixture)):
        report.add(f"anchors.image{i}", (anchors[::7] - samples[f"anchors.image{i}.every7th"]).abs().max().item(), 1e-4)
        box = assign(anchors, lengths, target.boxes_xyxy_N4, config.atss_candidates)
        positive = (box != NO_BOX).nonzero().squeeze(1)
        wanted = samples[f"train.image{i}.pos_anchor_index"].long()
        same = torch.equal(positive, wanted)
        report.add(f"train.image{i}: {len(positive)} of {len(wanted)} positive anchors", 0.0 if same else math.inf, 0.5)
        if not same:
            continue
        boxes, own = target.boxes_xyxy_N4[box[positive]], anchors[positive]
        tokens = target.token_map_NT[box[positive]].float()[:, : fixture["valid_tokens_T"]]
        for name, value in (
            ("pos_reg_target", box_math.encode(boxes, own)),
            ("pos_centerness_target", box_math.centerness(boxes, own)),
            ("pos_token_row", tokens),
        ):
            difference = (value - samples[f"train.image{i}.{name}"].float()).abs().max().item()
            report.add(f"train.image{i}.{name}", difference, EARLY_TOLERANCE)


def compare_training(model: GLIP, fixture: dict[str, Any], recorder: Recorder, report: Report) -> None:
    """Losses and gradients of one step; dropout and its kin are off, as in the recording."""
    images, token_ids, mask = build_inputs(fixture)
    output = model(images, token_ids, mask)
    losses = grounding_losses(output, build_targets(fixture), mask, model.config)
    wanted = fixture["train"]
    compare_targets(fixture, recorder.samples, output, model.config, report)
    for theirs, ours in LOSS_NAMES.items():
        report.add(ours, abs(losses[ours].item() / wanted["losses"][theirs] - 1), LOSS_TOLERANCE)
    total = sum(losses.values(), start=torch.zeros(()))
    report.add("loss total", abs(total.item() / wanted["total"] - 1), LOSS_TOLERANCE)
    torch.autograd.backward(total)
    compare_gradients(model, wanted, report)
    parameters = dict(model.named_parameters())
    for name in (n for n in fixture["tensors"] if n.startswith("grad.")):
        gradient = parameters[name.removeprefix("grad.")].grad
        recorder.compare(name, gradient if gradient is not None else torch.zeros(1))


def compare_gradients(model: GLIP, wanted: dict[str, Any], report: Report) -> None:
    """Norms relative to the recorded ones; gradients that are zero but for rounding are measured by that rounding."""
    single = wanted["grad_norms"]
    exact = wanted.get("grad_norms_fp64", single)
    total = math.sqrt(sum(norm**2 for norm in exact.values() if norm))
    for key, parameter in model.named_parameters():
        norm, found = exact[key], parameter.grad
        if norm is None or found is None:
            agree = norm is None and (found is None or not parameter.requires_grad)
            report.add(f"grad_norm {key}: none", 0.0 if agree else math.inf, GRADIENT_TOLERANCE)
            continue
        floor = max(abs(single[key] - norm) / GRADIENT_TOLERANCE, 1e-6 * total)
        report.add(f"grad_norm {key}", abs(found.norm().item() - norm) / max(norm, floor), GRADIENT_TOLERANCE)


def run_fixture(path: Path, *, inference_only: bool) -> bool:
    """Compare everything one fixture holds; true if all is within tolerance."""
    fixture, samples = json.loads(path.read_text()), load_file(path.with_suffix(".safetensors"))
    report, started = Report(), time.perf_counter()
    model = rule_model(CONFIGS[fixture["model"]]())
    check_weights(model, fixture["weight_probe"], report)
    images, token_ids, mask = build_inputs(fixture)
    recorder = Recorder(model, fixture, samples, report)
    for i, (height, width) in enumerate(fixture["image_sizes_hw"]):
        recorder.compare(f"input.image{i}", images[i, :, :height, :width])
    with torch.no_grad():
        output = model(images, token_ids, mask)
    compare_outputs(recorder, output, fixture["valid_tokens_T"])
    for name in recorder.missed():
        report.add(f"{name} (recorded, but not seen here)", math.inf, LATE_TOLERANCE)
    recorder.close()
    compare_detections(fixture, samples, output, model.config, report)
    if "train" in fixture and not inference_only:
        compare_training(model, fixture, recorder, report)
    print(f"{path.name}: {time.perf_counter() - started:.0f} s")
    return report.summarise(path.name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fixtures", nargs="+", type=Path, help="fixture .json with its .safetensors beside it")
    parser.add_argument("--inference-only", action="store_true", help="leave out losses, targets and gradients")
    arguments = parser.parse_args()
    results = [run_fixture(path, inference_only=arguments.inference_only) for path in arguments.fixtures]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
