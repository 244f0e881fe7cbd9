"""What a generation needs only after hours of labelling and training is looked at before them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_generations import tiny_generation

from pipelines.generation import generation

SCENES = {"kind": "scenes", "seed": 2, "count": 2}
HUMAN = {"name": "human", "format": "scenes", "scenes": SCENES}


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"truth": {"format": "coco", "path": "s3://bucket/gone.json"}}, "the truth s3://bucket/gone.json does not"),
        ({"registry": "s3://nobody/models"}, "make the bucket, or give another address"),
        ({"train": {"init": "gone"}}, "gone: no such model"),
        ({"train": {"init": "random:nano", "tokenizer": "gone.txt"}}, "gone.txt: no such tokenizer file"),
        ({"train": {"evaluation": {"datasets": ["gone"]}}}, "gone"),
        ({"train": {"evaluation": {"datasets": ["{out}/gold/held-out"]}}}, "evaluation.metric: .*'AP50'"),
        ({"evaluation": [{**HUMAN, "name": "same"}]}, "gold/same is learned from: all of its 2 pictures"),
        ({"evaluate": {"frequencies": ["gone"]}}, "gone"),
        ({"evaluate": {"protocols": ["any-box", "coco", "lvis"], "lvis_annotations": "gone.json"}}, "gone.json"),
    ],
)
def test_what_is_needed_last_is_looked_at_first(
    random_checkpoint: Path, tmp_path: Path, s3_bucket: str, wrong: dict[str, Any], expected: str
) -> None:
    wrong = _in_folder(wrong, tmp_path / "out")
    train = {"steps": 1, **wrong.pop("train", {})}
    recipe = tiny_generation(random_checkpoint, scenes=(2, 2, 2), unit_size=2, train=train, **wrong)
    with pytest.raises((ValueError, FileNotFoundError), match=expected):
        generation(recipe, tmp_path / "out", backend="inline", progress=False)
    assert not (tmp_path / "out" / "pseudo").exists(), "no picture has been labelled"


def _in_folder(fields: Any, out: Path) -> Any:
    if isinstance(fields, dict):
        return {name: _in_folder(value, out) for name, value in fields.items()}
    if isinstance(fields, list):
        return [_in_folder(value, out) for value in fields]
    return fields.replace("{out}", str(out)) if isinstance(fields, str) else fields
