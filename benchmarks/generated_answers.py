"""A human dataset and the answers to it, generated: what ``glip-engine evaluate`` leaves when the model is done.

In: a folder, a task, pictures, candidates a picture and a seed. Out: the dataset in the folder, with one small picture
all over, and beside it ``FOLDER-out`` with the answered units of the default recipe. Detection: 80 classes whose
frequency falls as 1 / rank, some of them verified as absent (federated). Grounding: captions of as many phrases as
boxes. Every human box has candidates near it, so that there is something to match; the others lie anywhere.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from engine.artifacts import Store
from engine.shards import LabelledImage, write_card, write_shard
from pipelines.evaluation.answered_units import CANDIDATE, SCHEMA, answered_unit, write_unit
from pipelines.evaluation.exams import open_exam
from pipelines.evaluation.job import unit_digests
from pipelines.evaluation.stages import exam_units
from pipelines.models.checkpoints import local_teacher, pinned_teacher
from schemas.recipes import EvaluateRecipe
from schemas.records import UnitRef
from schemas.shards import DatasetCard, SampleBox, SampleLabels, SamplePhrase, ShardManifest
from teacher.grounder import teacher_digest

CLASSES = [f"kind {number:02d}" for number in range(80)]
SIDE = 640
BOXES = 8  # human boxes in a picture, on average
NEAR_SHARE = 0.3  # of the candidates lie near a human box
IMAGES_A_SHARD = 512
Floats = NDArray[np.float64]


def write_answered(folder: Path, task: Literal["detection", "grounding"], pictures: int, candidates: int) -> None:
    """Write the dataset and its answers."""
    draw = np.random.default_rng(pictures)
    answers: dict[str, tuple[NDArray[np.int32], Floats, Floats]] = {}
    for unit, first in enumerate(range(0, pictures, IMAGES_A_SHARD)):
        numbers = range(first, min(first + IMAGES_A_SHARD, pictures))
        samples = [_sample(number, draw, task == "detection") for number in numbers]
        answers |= {one.key: _answer(one, draw, candidates, task == "detection") for one in samples}
        shown = [LabelledImage(one, _picture(), "jpg") for one in samples]
        ref = UnitRef(unit, "generated", first, len(samples))
        write_shard(Store(folder), ref, shown, [], work_digest="generated", stages=[])
    card = DatasetCard(
        origin="human",
        task=task,
        source_fingerprint=f"generated {pictures}",
        recipe_digest="generated",
        classes=CLASSES if task == "detection" else [],
        complete=True,
        samples=pictures,
    )
    write_card(Store(folder), card)
    _write_units(folder, answers)


def _picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (32, 32), (90, 120, 160)).save(file, "JPEG")
    return file.getvalue()


def _boxes(draw: np.random.Generator, count: int) -> Floats:
    """Boxes [N, 4] of all sizes inside of the picture, rounded to a tenth of a pixel like those of grounders."""
    low = draw.random((count, 2)) * 0.8 * SIDE
    sides = SIDE * 0.7 ** draw.integers(1, 12, (count, 2)) * draw.uniform(0.7, 1, (count, 2))
    return np.round(np.concatenate([low, np.minimum(low + sides, SIDE)], axis=1), 1)


def _sample(number: int, draw: np.random.Generator, detection: bool) -> SampleLabels:
    boxes = _boxes(draw, int(draw.integers(1, 2 * BOXES)))
    ranks = np.minimum(len(CLASSES) ** draw.random(len(boxes)), len(CLASSES)).astype(int) - 1
    names, of_box = [f"a {CLASSES[rank]} {place}" for place, rank in enumerate(ranks)], list(range(len(boxes)))
    absent = None
    if detection:
        present = sorted({CLASSES[rank] for rank in ranks})
        names, of_box = present, [present.index(CLASSES[rank]) for rank in ranks]
        absent = [name for name in draw.choice(CLASSES, 10, replace=False).tolist() if name not in present]
    ends = np.cumsum([len(name) + 2 for name in names]).tolist()
    phrases = [
        SamplePhrase(text=name, start=end - 2 - len(name), end=end - 2, head_lemma=name.split()[-1])
        for name, end in zip(names, ends, strict=True)
    ]
    return SampleLabels(
        key=f"{number:08d}",
        caption=". ".join(names),
        phrases=phrases,
        boxes=[
            SampleBox(phrase=phrase, box_xyxy=tuple(box), score=1.0)
            for phrase, box in zip(of_box, boxes.tolist(), strict=True)
        ],
        width=SIDE,
        height=SIDE,
        image_sha256=f"{number:016x}" * 4,
        absent_classes=absent,
        locator="generated",
        recipe_digest="generated",
    )


def _answer(
    labels: SampleLabels, draw: np.random.Generator, count: int, detection: bool
) -> tuple[NDArray[np.int32], Floats, Floats]:
    """Names, boxes and scores of the candidates: some near human boxes with their names, the others anywhere."""
    near = round(NEAR_SHARE * count)
    human = draw.integers(0, len(labels.boxes), near)
    of_box = [box.phrase for box in labels.boxes]
    own = [CLASSES.index(labels.phrases[phrase].text) for phrase in of_box] if detection else of_box
    names = np.concatenate(
        [np.array(own)[human], draw.integers(0, len(CLASSES) if detection else max(own) + 1, count - near)]
    )
    corners = np.array([box.box_xyxy for box in labels.boxes])[human]
    moved = np.clip(corners + draw.normal(0, 0.1, corners.shape) * np.tile(corners[:, 2:] - corners[:, :2], 2), 0, SIDE)
    moved = np.concatenate([np.minimum(moved[:, :2], moved[:, 2:]), np.maximum(moved[:, :2], moved[:, 2:])], axis=1)
    boxes = np.concatenate([np.round(moved, 1), _boxes(draw, count - near)])
    scores = np.round(np.concatenate([draw.beta(3, 2, near), 0.01 + 0.5 * draw.beta(1, 4, count - near)]), 4)
    return names.astype(np.int32), boxes, scores


def _write_units(folder: Path, answers: dict[str, tuple[NDArray[np.int32], Floats, Floats]]) -> None:
    recipe = EvaluateRecipe(datasets=(str(folder),))
    recipe = recipe.model_copy(update={"teacher": pinned_teacher(recipe.teacher)})
    exams = [open_exam(str(folder), None)]
    digest_of = unit_digests(exams, recipe, teacher_digest(local_teacher(recipe.teacher)))
    keys = sorted(answers)
    at = 0
    for ref in exam_units(exams):
        mine, at = keys[at : at + ref.rows], at + ref.rows
        manifest = ShardManifest(
            unit=ref.index,
            source_uri=ref.uri,
            first_row=ref.first_row,
            rows=ref.rows,
            work_digest=digest_of(ref),
            stages=[],
            samples=ref.rows,
            phrases=0,
            boxes=sum(len(answers[key][2]) for key in mine),
            rejects=0,
            files=[],
            first_key=mine[0],
            last_key=mine[-1],
            seconds=1.0,
        )
        write_unit(Store(f"{folder}-out"), ref, answered_unit(manifest, _table(mine, [answers[key] for key in mine])))


def _table(keys: list[str], answers: list[tuple[NDArray[np.int32], Floats, Floats]]) -> pa.Table:
    names, boxes, scores = (np.concatenate(column) for column in zip(*answers, strict=True))
    columns = [
        pa.array(names),
        pa.FixedSizeListArray.from_arrays(pa.array(boxes.reshape(-1)), type=CANDIDATE["box_xyxy"].type),
        pa.array(scores),
        pa.nulls(len(scores), pa.float64()),
    ]
    ends = np.cumsum([0, *(len(one[2]) for one in answers)], dtype=np.int32)
    lists = pa.ListArray.from_arrays(pa.array(ends), pa.StructArray.from_arrays(columns, fields=list(CANDIDATE)))
    return pa.Table.from_arrays([pa.array(keys), lists], schema=SCHEMA)
