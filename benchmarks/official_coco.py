"""COCO AP as papers print it: ``python benchmarks/official_coco.py INSTANCES.json EVALUATION [--dataset NAME]``.

An evaluation on a dataset that was imported from COCO's JSON differs from pycocotools on that JSON in two ways: crowds
are not imported, and the size of a thing is that of its box, not of its mask. This gives the very answers of
the evaluation (``answers/NAME.parquet`` in the folder that ``evaluate --out`` wrote) to pycocotools with the JSON, and
prints both beside each other, and how many crowds and boxes of another size there are.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from engine.gold.coco_json import picture_keys
from engine.gold.rules import class_name
from schemas.reports import Evaluation

FIGURES = ("AP", "AP50", "AP75", "APs", "APm", "APl")
SIZES = (32**2, 96**2)
ROW = "{:>8} {:>11} {:>14}"


def official_figures(truth: COCO, answers: Path) -> dict[str, float | None]:
    """The figures of pycocotools for the boxes in the table ``answers``."""
    evaluation = COCOeval(truth, truth.loadRes(_results(truth, answers)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return {name: None if v < 0 else float(v) for name, v in zip(FIGURES, evaluation.stats, strict=False)}


def _results(truth: COCO, answers: Path) -> list[dict[str, Any]]:
    """The detections as COCO's list of results: numbers as they were stored, before the table made them float32."""
    images = truth.dataset["images"]
    keys = picture_keys(image["file_name"] for image in images)
    ids = {keys[row]: image["id"] for row, image in reversed(list(enumerate(images)))}
    classes = {class_name(one["name"]): one["id"] for one in reversed(truth.dataset["categories"])}
    table = pq.read_table(answers, filters=pc.field("rank") > 0)
    sides = [table[side].to_numpy().astype(np.float64) for side in ("x1", "y1", "x2", "y2")]
    corners = np.stack(sides, axis=1).round(1)
    boxes_xywh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).tolist()
    scores = table["score"].to_numpy().astype(np.float64).round(4).tolist()
    rows = zip(table["key"].to_pylist(), table["name"].to_pylist(), boxes_xywh, scores, strict=True)
    return [
        {"image_id": ids[key], "category_id": classes[name], "bbox": box, "score": score}
        for key, name, box, score in rows
    ]


def other_sizes(truth: COCO) -> tuple[int, int]:
    """How many crowds there are, and how many other boxes are of another size (small, medium, large) by mask than by
    box."""
    boxes = truth.dataset["annotations"]
    single = [one for one in boxes if not one.get("iscrowd")]
    by_mask = np.digitize([one["area"] for one in single], SIZES)
    by_box = np.digitize([one["bbox"][2] * one["bbox"][3] for one in single], SIZES)
    return len(boxes) - len(single), int((by_mask != by_box).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("instances", type=Path, help="the JSON that the dataset was imported from")
    parser.add_argument("evaluation", type=Path, help="the folder of the evaluation")
    parser.add_argument("--dataset", help="which of its datasets; by default its only one")
    options = parser.parse_args()
    reports = Evaluation.model_validate_json((options.evaluation / "evaluation.json").read_bytes()).reports
    chosen = [one for one in reports if options.dataset in (None, one.dataset)]
    if len(chosen) != 1:
        raise SystemExit(f"--dataset: give one of {', '.join(one.dataset for one in reports)}")
    truth = COCO()
    truth.dataset = json.loads(options.instances.read_bytes())
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        official = official_figures(truth, options.evaluation / "answers" / f"{chosen[0].dataset}.parquet")
    crowds, resized = other_sizes(truth)
    boxes = len(truth.dataset["annotations"])
    print(f"{boxes:,} boxes, {crowds:,} of them crowds; {resized:,} others of another size by mask than by box")
    print(ROW.format("figure", "evaluation", "pycocotools"))
    for name, value in official.items():
        pair = (chosen[0].value(name), value)
        print(ROW.format(name, *("-" if one is None else f"{100 * one:.2f}" for one in pair)))


if __name__ == "__main__":
    main()
