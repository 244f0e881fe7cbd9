"""Shards in, batches out: what the student sees at each step.

In: a mix. Out: for each step one batch of tensors, the same for any number of threads, since all that is random in it
is drawn from (seed, step) or (seed, position in the mix).
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.mix import Mix, MixSample, SampleRef
from glip.config import GLIPConfig
from glip.losses import GroundingTarget
from glip.preprocess import as_rgb, bucket_shape, image_tensor, pad_batch
from glip.tokens import PromptTokenizer, TokenizedPrompts
from schemas.recipes import TrainRecipe
from schemas.shards import SampleLabels
from student.augment import (
    Augmentation,
    FloatArray,
    StepShape,
    draw_step_shape,
    draw_view,
    jitter_colors,
    render,
    view_boxes,
)
from student.prompts import TrainingPrompt, class_prompt, packed_caption

# Streams of random numbers that never meet: one for what a step shares, one for each sample.
STEP_STREAM, SAMPLE_STREAM = 0, 1
SPECIAL_TOKENS = 2  # [CLS] and [SEP], which stand around every prompt


@dataclass(frozen=True, slots=True)
class Example:
    """One sample as it is learned from. Boxes ``[N, 4]`` in the picture's pixels, each with its phrase's number."""

    image: Tensor
    prompt: TrainingPrompt
    boxes_xyxy: FloatArray
    phrases: tuple[int, ...]
    scores: tuple[float, ...]
    is_pseudo: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """What one worker learns from in one step; ``images`` are padded to ``shape_hw``, which all workers share."""

    images: list[Tensor]
    shape_hw: tuple[int, int]
    token_ids_bt: Tensor
    attention_mask_bt: Tensor
    targets: list[GroundingTarget]
    image_shapes_hw: list[tuple[int, int]]


class TrainingData:
    """The batches of one worker: of the ``batch_size`` samples of a step, those of number ``rank``, ``rank + size``…"""

    def __init__(
        self, mix: Mix, recipe: TrainRecipe, config: GLIPConfig, tokenizer: PromptTokenizer, *, rank: int, size: int
    ) -> None:
        if recipe.batch_size % size:
            raise ValueError(f"batch_size {recipe.batch_size} cannot be shared by {size} workers; choose a multiple")
        self.mix, self.recipe, self.config, self.tokenizer = mix, recipe, config, tokenizer
        self.rank, self.size = rank, size
        self.augmentation = Augmentation(
            min_sizes=recipe.min_sizes or config.train_min_sizes,
            max_size=recipe.max_size or config.train_max_size,
            flip=recipe.flip,
            scale_jitter=recipe.scale_jitter,
            color_jitter=recipe.color_jitter,
        )

    def batches(self, first_step: int) -> Iterator[Batch]:
        """The batches of steps ``first_step``, ``first_step + 1``, … to the last, made ahead by threads."""
        steps = iter(range(first_step, self.recipe.steps))
        if self.recipe.loader_threads == 0:
            yield from map(self.batch, steps)
            return
        pool = ThreadPoolExecutor(self.recipe.loader_threads, thread_name_prefix="loader")
        try:
            waiting: deque[Future[Batch]] = deque()
            for _ in range(2 * self.recipe.loader_threads):
                _submit_next(pool, self, steps, waiting)
            while waiting:
                batch = waiting.popleft().result()
                _submit_next(pool, self, steps, waiting)
                yield batch
        finally:
            pool.shutdown(cancel_futures=True)

    def batch(self, step: int) -> Batch:
        """This worker's batch of ``step``."""
        shape = draw_step_shape(self.augmentation, np.random.default_rng([self.recipe.seed, STEP_STREAM, step]))
        first = step * self.recipe.batch_size
        positions = range(first + self.rank, first + self.recipe.batch_size, self.size)
        return self._collate([self.example(position, shape) for position in positions], shape)

    def example(self, position: int, shape: StepShape) -> Example:
        """The sample at ``position`` of the mix, augmented."""
        random = np.random.default_rng([self.recipe.seed, SAMPLE_STREAM, position])
        ref = self.mix.sample_ref(position)
        sample = self.mix.load(ref)
        labels = sample.labels
        view = draw_view((labels.height, labels.width), labels.caption, self.augmentation, shape, random)
        seen = jitter_colors(render(_decode(sample), view), self.recipe.color_jitter, random)
        boxes = np.array([box.box_xyxy for box in labels.boxes], dtype=np.float32).reshape(-1, 4)
        boxes, kept = view_boxes(boxes, view)
        return Example(
            image=image_tensor(seen, view.size_hw),
            prompt=self._prompt(ref, sample, random),
            boxes_xyxy=boxes,
            phrases=tuple(labels.boxes[i].phrase for i in kept),
            scores=tuple(labels.boxes[i].score for i in kept),
            is_pseudo=sample.card.origin == "pseudo",
        )

    def _prompt(self, ref: SampleRef, sample: MixSample, random: np.random.Generator) -> TrainingPrompt:
        if sample.card.task == "grounding":
            everyone = self.mix.datasets[ref.dataset].refs
            count = int(random.integers(self.recipe.caption_negatives + 1))
            others = [self.mix.labels(everyone[random.integers(len(everyone))]) for _ in range(count)]
            return packed_caption(sample.labels, others, random)
        return class_prompt(
            sample.labels,
            sample.card.classes,
            max_negatives=self.recipe.max_negatives,
            max_tokens=self.config.max_tokens - SPECIAL_TOKENS,
            count_tokens=self.tokenizer.count,
            random=random,
        )

    def _collate(self, examples: list[Example], shape: StepShape) -> Batch:
        prompts = self.tokenizer.encode([example.prompt.text for example in examples], self.config.max_tokens)
        sizes = [(example.image.shape[-2], example.image.shape[-1]) for example in examples]
        buckets = [bucket_shape(*(shape.canvas_hw or size), self.config) for size in sizes]
        targets = [self._target(example, prompts, number) for number, example in enumerate(examples)]
        return Batch(
            images=[example.image for example in examples],
            shape_hw=(max(height for height, _ in buckets), max(width for _, width in buckets)),
            token_ids_bt=prompts.ids_BT,
            attention_mask_bt=prompts.attention_mask_BT,
            targets=targets,
            image_shapes_hw=sizes,
        )

    def _target(self, example: Example, prompts: TokenizedPrompts, number: int) -> GroundingTarget:
        """Boxes with the tokens that name them. A box that several phrases name is one box with all their tokens."""
        named: dict[tuple[float, ...], tuple[list[tuple[int, int]], float]] = {}
        for box, phrase, score in zip(example.boxes_xyxy.tolist(), example.phrases, example.scores, strict=True):
            span = example.prompt.spans[phrase]
            if span is not None and prompts.token_positions(number, *span):
                spans, best = named.get(tuple(box), ([], 0.0))
                named[tuple(box)] = ([*spans, span], max(best, score))
        maps = [prompts.token_map(number, spans) for spans, _ in named.values()]
        scores = torch.tensor([score for _, score in named.values()])
        weigh = example.is_pseudo and self.recipe.score_weighted
        without_boxes = example.is_pseudo and not self.recipe.pseudo_regression
        return GroundingTarget(
            boxes_xyxy_N4=torch.tensor(list(named), dtype=torch.float32).reshape(-1, 4),
            token_map_NT=torch.stack(maps) if maps else torch.zeros(0, prompts.ids_BT.shape[1], dtype=torch.bool),
            score_weight_N=scores if weigh else None,
            regress_N=torch.zeros(len(named), dtype=torch.bool) if without_boxes else None,
        )


def padded_images(batch: Batch, shape_hw: tuple[int, int]) -> Tensor:
    """The pictures ``[B, 3, H, W]`` of a batch, padded to ``shape_hw``."""
    return pad_batch(batch.images, shape_hw)


def _submit_next(
    pool: ThreadPoolExecutor, data: TrainingData, steps: Iterator[int], waiting: deque[Future[Batch]]
) -> None:
    step = next(steps, None)
    if step is not None:
        waiting.append(pool.submit(data.batch, step))


def _decode(sample: MixSample) -> Image.Image:
    image = Image.open(io.BytesIO(sample.image))
    _check_size(image, sample.labels)
    return as_rgb(image)


def _check_size(image: Image.Image, labels: SampleLabels) -> None:
    if image.size != (labels.width, labels.height):
        raise ValueError(
            f"sample {labels.key!r}: its picture has {image.width} x {image.height} pixels, its labels say "
            f"{labels.width} x {labels.height}; run `verify` on the dataset"
        )
