"""What precision a calibrated selection reaches: ``python benchmarks/calibration.py [--work DIR] [--checkpoint nano]``.

The teacher is calibrated on human phrase boxes and labels the 714 web photos; at target precisions of 0.3, 0.5, 0.7 and
0.9 the kept boxes are judged by the web photos' hidden boxes, which nothing else here reads. Twice: calibrated on
``photos/human``, which nano was trained on, and on ``photos/val``, which it was not. Beside it the presets.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from real_data import real_data

from engine.gold import import_gold
from engine.selection import resolve_selection
from pipelines.calibrate import calibrate
from pipelines.evaluation.pseudo_quality import pseudo_quality
from pipelines.label import label
from schemas.calibration import Calibration
from schemas.recipes import CalibrateRecipe, LabelRecipe, TeacherRecipe, WebDatasetSource
from schemas.reports import PseudoLabelFigures

TARGETS = (0.3, 0.5, 0.7, 0.9)
HEADER = (
    "selection        held-out half   web photos: precision   boxes judged   of all kept   phrase recall   "
    "groups out of reach"
)


def main() -> int:
    options = _options()
    teacher = TeacherRecipe(checkpoint=options.checkpoint, device=options.device)
    source = WebDatasetSource(uri=str(real_data("photos/web")))
    label(LabelRecipe(source=source, teacher=teacher), options.work / "web", workers=options.workers)
    for name in ("human", "val"):
        import_gold("coco-phrases", real_data(f"photos/{name}"), options.work / name)
        recipe = CalibrateRecipe(
            datasets=(str(options.work / name),), teacher=teacher, frequencies=_frequencies(options)
        )
        document = calibrate(recipe, options.work / f"{name}.json")
        judge(options.work, name, document)
    return 0


def judge(work: Path, name: str, document: Calibration) -> None:
    """Print a line for each target: the precision on the held-out half of ``name``, and that on the web photos."""
    choices = {target: _choice(work / f"{name}.json", target) for target in TARGETS}
    also = [choice for choice in choices.values() if choice is not None]
    report = pseudo_quality(work / "web", real_data("photos/web_truth.json"), also=also)
    found = {one.selection: one for one in report.presets}
    held_out = {one.target: one for one in document.held_out.targets}
    print(f"\ncalibrated on photos/{name}, judged on {report.images} web photos")
    print(HEADER)
    for target, choice in choices.items():
        at = held_out[target]
        own = "-" if at.precision is None else f"{at.precision:.1%}"
        if choice is None:
            print(f"target {target:.0%}       {own:>13}   out of reach in every group")
            continue
        off = sum(group.min_score(target) is None for group in document.groups)
        line = _line(found[f"calibrated {target:.0%}"])
        print(f"target {target:.0%}       {own:>13}{line}   {off:>3} of {len(document.groups)}")
    for preset in ("all", "glip", "grit", "owl-st"):
        print(f"{preset:16} {'':>13}{_line(found[preset])}")


def _line(one: PseudoLabelFigures) -> str:
    precision = "-" if one.precision is None else f"{one.precision:.1%}"
    recall = "-" if one.phrase_recall is None else f"{one.phrase_recall:.1%}"
    return f"   {precision:>21}   {one.right + one.wrong:>12,}   {one.boxes:>11,}   {recall:>13}"


def _choice(path: Path, target: float) -> dict[str, object] | None:
    """The calibrated selection for a target; None where no group reaches it."""
    choice: dict[str, object] = {"preset": "calibrated", "calibration": str(path), "precision": target}
    try:
        resolve_selection(choice)
    except ValueError:
        return None
    return choice


def _frequencies(options: argparse.Namespace) -> tuple[str, ...]:
    return (str(options.work / "web"),) if options.web_frequencies else ()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("runs/calibration"), help="folder; what is there is reused")
    parser.add_argument("--checkpoint", default="nano")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--web-frequencies", action="store_true", help="count phrase heads in the web labels")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
