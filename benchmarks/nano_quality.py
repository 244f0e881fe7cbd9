"""How good a checkpoint is on what nano never saw: ``python benchmarks/nano_quality.py [CHECKPOINT] [--limit 100]``.

Held-out scenes (another seed than any training), and the photos of ``photos/val``: phrase recall, and AP50 of persons,
each beside the best constant box per phrase head (per class) fitted on training data
(``engine/metrics/baselines.py``). The photos are development data: they were never trained on, and
val2017 is public, so no figure here is a COCO result.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from engine.gold import import_gold
from pipelines.evaluate import evaluate
from pipelines.shipped import DATA
from schemas.recipes import EvaluateRecipe, ScenesSource, TeacherRecipe
from schemas.reports import EvaluationReport

HELD_OUT_SEED = 900_001  # nano trains on seed 7
SCENES = 400
FOR_BASELINE = ScenesSource(count=SCENES, seed=900_002)
PHOTOS = {
    "val-phrases": ("coco-phrases", "photos/val"),
    "val-boxes": ("coco", "photos/val"),
    "human-phrases": ("coco-phrases", "photos/human"),
    "human-boxes": ("coco", "photos/human"),
}
ASKED = (
    *(("scenes", f"phrase_recall@{boxes}") for boxes in (1, 5, 10)),
    *(("val-phrases", f"phrase_recall@{boxes}") for boxes in (1, 5, 10)),
    ("val-boxes", "AP50/person"),
    ("val-boxes", "AP50"),
)


def prepare(work: Path, data: Path, scenes_seed: int) -> None:
    """Import the data for evaluation, and for fitting the baselines, into ``work``, unless that has been done."""
    import_gold("scenes", ScenesSource(count=SCENES, seed=scenes_seed), work / "scenes")
    import_gold("scenes", FOR_BASELINE, work / "scenes-baseline")
    if data.is_dir():
        for name, (format, folder) in PHOTOS.items():
            import_gold(format, data / folder, work / name)


def measure(checkpoint: str, work: Path, options: argparse.Namespace) -> list[EvaluationReport]:
    """Evaluate on the scenes and, if they exist, on the photos; each with its own baseline."""
    exams: dict[tuple[str, ...], tuple[str, ...]] = {("scenes",): ("scenes-baseline",)}
    if (work / "val-phrases").is_dir():
        exams["val-phrases", "val-boxes"] = ("human-phrases", "human-boxes")
    teacher = TeacherRecipe(checkpoint=checkpoint, device=options.device, threads=options.threads)
    reports = []
    for datasets, baseline in exams.items():
        recipe = EvaluateRecipe(
            datasets=tuple(str(work / name) for name in datasets),
            baseline=tuple(str(work / name) for name in baseline),
            teacher=teacher,
            limit=options.limit,
        )
        reports += evaluate(recipe)
    return reports


def print_summary(reports: list[EvaluationReport]) -> None:
    """Print the figures that the nano model is judged by, one on each line."""
    for dataset, name in ASKED:
        found = [metric for report in reports if report.dataset == dataset for metric in report.metrics]
        for metric in found:
            if metric.name == name and metric.value is not None:
                print(
                    f"{dataset:12} {name:18} {metric.value:.3f}   best constant box {metric.baseline or 0:.3f}"
                    f"   over {metric.count}"
                )
    for report in reports:
        print(f"{report.dataset:12} {report.images} images in {report.seconds:.0f} s")


def main() -> int:
    parser = argparse.ArgumentParser(description="Figures of a checkpoint on held-out scenes and photos.")
    parser.add_argument("checkpoint", nargs="?", default="nano", help="'nano', or a checkpoint folder")
    parser.add_argument("--limit", type=int, help="only the first so many samples of each dataset")
    parser.add_argument("--work", type=Path, default=Path("runs/nano_quality"), help="folder for the imported datasets")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real data; only scenes without it")
    parser.add_argument("--scenes-seed", type=int, default=HELD_OUT_SEED, help="of the held-out scenes; a --work each")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of the model")
    options = parser.parse_args()
    prepare(options.work, options.data, options.scenes_seed)
    print_summary(measure(options.checkpoint, options.work, options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
