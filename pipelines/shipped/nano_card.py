"""The shipped nano model and its model card: what it is, what it learned from, how good it is, the command.

In: a trained checkpoint and its evaluation. Out: the folder ``glip/pretrained/nano`` with half-precision weights and a
README.md.
"""

from __future__ import annotations

from pathlib import Path

import torch

from engine.artifacts import Store
from engine.gold import import_gold
from glip.checkpoint import load_model, save_model
from glip.model_folder import SHIPPED
from pipelines.evaluate import evaluate
from schemas.recipes import EvaluateRecipe, ScenesSource, TeacherRecipe
from schemas.reports import EvaluationReport

HELD_OUT = ScenesSource(count=400, seed=900_001)  # nano learns from seed 7
PHRASES, BOXES = "coco-phrases", "coco"
SHOWN = ("phrase_recall@1", "phrase_recall@5", "AP50", "AP50/person")

CARD = """# nano: a GLIP for two CPU cores

The embedded default of glip-engine (`init: nano`, `checkpoint: nano`): {millions:.1f} M parameters, stored in half
precision, with its own WordPiece vocabulary (`tokenizer.json`). It lets the whole loop run on a laptop. It is no match
for the published GLIP checkpoints, which the same code loads.

- **Data**: {scenes:,} drawn scenes (`engine/sources/scenes`, seed {seed}), and human annotations of 400 photos of COCO
  val2017 (boxes, captions, phrases) and of 600 photos of OpenImages. Captions of further photos and class names
  were used for the vocabulary only.
- **Licence**: weights Apache-2.0, as the code; annotations CC BY 4.0 (COCO, OpenImages).
- **Command**: `make nano`, which is `python -m pipelines.shipped.nano`: {made}.
- **Form**: safetensors, {megabytes:.1f} MB; no pickle inside.

Scores from 0 to 1, with the number of phrases or boxes that each is over:

| dataset | figure | nano | best constant box | over |
| --- | --- | --- | --- | --- |
{rows}

The held-out scenes have another seed, and the evaluation photos are 250 others. Because val2017 is a public test set
and nano has seen 400 photos of it, no figure here is a COCO result. The best constant box is fitted per phrase head (or
class) on training data and looks at no picture.

**Limits**: English only. It runs at {min_size} pixels on the short side and misses small things there. Of real things
it knows persons best.
"""


def examine(checkpoint: str, work: Path, data: Path) -> list[EvaluationReport]:
    """The evaluations of a checkpoint on held-out scenes and on ``photos/val``, each with the best constant box."""
    import_gold("scenes", HELD_OUT, work / "held-out-scenes")
    import_gold(PHRASES, data / "photos" / "val", work / "val-phrases")
    import_gold(BOXES, data / "photos" / "val", work / "val-boxes")
    asked = (
        (("held-out-scenes",), ("scenes",)),
        (("val-phrases", "val-boxes"), ("photos-phrases", "photos-detection")),
    )
    reports: list[EvaluationReport] = []
    for datasets, baseline in asked:
        recipe = EvaluateRecipe(
            datasets=tuple(str(work / name) for name in datasets),
            baseline=tuple(str(work / name) for name in baseline),
            teacher=TeacherRecipe(checkpoint=checkpoint),
        )
        reports += evaluate(recipe)
    return reports


def ship(checkpoint: str, work: Path, data: Path, scenes: ScenesSource, made: str) -> None:
    """Replace the shipped model by this one, in half precision, with its card; ``made`` tells how it was trained. The
    card has the figures of the weights as shipped, in half precision."""
    out, loaded = SHIPPED["nano"], load_model(checkpoint)
    save_model(out, loaded.model, loaded.tokenizer, loaded.metadata, dtype=torch.float16)
    reports = examine(str(out), work, data)
    card = CARD.format(
        millions=sum(parameter.numel() for parameter in loaded.model.parameters()) / 1e6,
        scenes=scenes.count,
        seed=scenes.seed,
        made=made,
        megabytes=sum(file.stat().st_size for file in out.iterdir()) / 1e6,
        rows="\n".join(row for report in reports for row in _rows(report)),
        min_size=loaded.config.test_min_size,
    )
    Store(out).write("README.md", card.encode())


def _rows(report: EvaluationReport) -> list[str]:
    return [
        f"| {report.dataset} | {metric.name} | {metric.value:.3f} | {metric.baseline or 0:.3f} | {metric.count} |"
        for metric in report.metrics
        if metric.name in SHOWN and metric.value is not None
    ]
