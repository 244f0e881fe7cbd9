"""What pseudo-labels added: ``python benchmarks/against_control.py runs/photos runs/photos-control [--metric METRIC]``.

In: the folders of two generations of one recipe, the second without pseudo-labels (``--set pseudo_weight=0.000001``).
Out: the gate's comparison of their students, a paired bootstrap over the same evaluation pictures.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from engine.promotion import decide
from schemas.recipes import GateRecipe, PromotionRule
from schemas.reports import EvaluationReport


def student_reports(generation: Path) -> list[EvaluationReport]:
    document = json.loads((generation / "evaluation" / "student" / "evaluation.json").read_text(encoding="utf-8"))
    return [EvaluationReport.model_validate(report) for report in document["reports"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("student", type=Path)
    parser.add_argument("control", type=Path)
    parser.add_argument("--metric", default="phrase_recall@1")
    options = parser.parse_args()
    gate = GateRecipe(rules=(PromotionRule(metric=options.metric, must="improve"),))
    print(decide(student_reports(options.student), student_reports(options.control), gate).reason)


if __name__ == "__main__":
    main()
