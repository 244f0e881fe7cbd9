"""The parts of a step, which pass through the model one after another, and the counts that their losses are divided by.

In: a worker's batch. Out: its parts, each with its positive anchors and the counts of the whole step, so that neither
``accumulation`` nor the number of workers changes a loss. None of it depends on the model's answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from glip.anchors import level_shapes
from glip.config import GLIPConfig
from glip.losses import Positives, find_positives
from glip.masked_language import NOT_MASKED
from schemas.recipes import TrainRecipe
from student.collate import Batch, split_batch
from student.workers import Workers


@dataclass(frozen=True, slots=True)
class StepCounts:
    """The counts that sums of losses are divided by: over all parts of all workers, divided by the number of workers.

    grounding: the normalisers of :func:`glip.losses.grounding_losses`. masked: tokens to be predicted. located: boxes
    to be found from a text. parts: of one worker; losses that are means over one part are divided by it.
    """

    grounding: Tensor
    masked: Tensor
    located: Tensor
    parts: int


@dataclass(frozen=True, slots=True)
class Part:
    """The pictures that pass through the model at once, padded to ``shape_hw``, the shape of the whole step."""

    batch: Batch
    shape_hw: tuple[int, int]
    positives: Positives
    counts: StepCounts


def parts_of_step(batch: Batch, recipe: TrainRecipe, config: GLIPConfig, workers: Workers) -> list[Part]:
    """The parts of a worker's batch. ValueError where it has fewer pictures than parts (``accumulation``)."""
    shape_hw = workers.largest(batch.shape_hw)
    shapes = level_shapes(shape_hw, config)
    batches = split_batch(batch, recipe.accumulation)
    positives = [find_positives(shapes, part.targets, config, workers.device) for part in batches]
    counts = _count(batch, positives, workers)
    return [Part(part, shape_hw, found, counts) for part, found in zip(batches, positives, strict=True)]


def _count(batch: Batch, positives: list[Positives], workers: Workers) -> StepCounts:
    words = batch.words or []
    masked = sum(int((picture.told_T != NOT_MASKED).sum()) for picture in words)
    located = sum(int(picture.locate_K.sum()) for picture in words)
    grounding = torch.stack([found.normalisers() for found in positives]).sum(dim=0)
    means = workers.mean(torch.cat((grounding, grounding.new_tensor([masked, located]))))
    # A step without a positive anchor is divided by one, as SPEC section 10 says for one process.
    means[0].clamp_(min=1 / workers.size)
    return StepCounts(means[:2], means[2], means[3], len(positives))
