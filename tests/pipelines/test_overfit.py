"""What a model has seen often enough it finds: nano learns 16 photos of a class that it did not know by heart."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.few_shot import write_shots
from engine.gold import import_gold
from pipelines.evaluate import evaluate
from pipelines.train import train
from schemas.recipes import EvaluateRecipe, MixEntry, OptimizerRecipe, TeacherRecipe, TrainRecipe

STEPS = 150


@pytest.mark.slow
@pytest.mark.data
def test_nano_overfits_16_photos(data_folder: Path, tmp_path: Path) -> None:
    import_gold("coco", data_folder / "raccoon", tmp_path / "all", images=data_folder / "raccoon" / "images")
    photos = str(tmp_path / "photos")
    assert write_shots(tmp_path / "all", 16, 0, photos).samples == 16
    recipe = TrainRecipe(
        mix=(MixEntry(dataset=photos),),
        steps=STEPS,
        batch_size=8,
        min_sizes=(160,),
        max_size=256,
        flip=False,
        checkpoint_every=STEPS,
        optimizer=OptimizerRecipe(
            lr=4e-4, text_lr_factor=1.0, warmup_steps=5, schedule="cosine", ema_decay=0.9, weight_decay=0.0
        ),
    )
    checkpoint = train(recipe, tmp_path / "run", progress=False).checkpoint
    exam = EvaluateRecipe(datasets=(photos,), teacher=TeacherRecipe(checkpoint=checkpoint))
    value = evaluate(exam, progress=False)[0].value("AP50")
    assert value is not None
    print(f"AP50 {value:.3f} after {STEPS} steps")
    assert value > 0.95
