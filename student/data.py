"""The training data: the batch that the student sees at each step.

In: a mix. Out: for each step one batch of tensors, the same for any number of threads, since all that is random in it
is drawn from (seed, step) or (seed, position in the mix).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.mix import Mix, MixSample, NameRelations, SampleRef
from glip.config import GLIPConfig
from glip.preprocess import image_tensor
from glip.rgb import as_rgb, upright
from glip.tokens import PromptTokenizer
from schemas.orientation import box_upright, orientation_of
from schemas.pictures import open_picture_file
from schemas.recipes import TrainRecipe
from schemas.shards import SampleLabels
from student.augment import (
    Augmentation,
    StepShape,
    draw_step_shape,
    draw_view,
    jitter_colors,
    render,
    view_boxes,
    without_last_pixel,
)
from student.collate import Batch, Collator, Example
from student.prompts import Budget, TrainingPrompt, class_prompt, packed_caption

# Independent streams of random numbers: one for what the pictures of a step share, one for each sample.
STEP_STREAM, SAMPLE_STREAM = 0, 1


class TrainingData:
    """The batches of worker ``rank`` of ``size``: of each step's ``batch_size`` samples, number ``rank``, ``rank +
    size``, …"""

    def __init__(
        self, mix: Mix, recipe: TrainRecipe, config: GLIPConfig, tokenizer: PromptTokenizer, *, rank: int, size: int
    ) -> None:
        pictures_at_once(recipe, size)
        self.mix, self.recipe, self.config, self.tokenizer = mix, recipe, config, tokenizer
        self.rank, self.size = rank, size
        self.relations = NameRelations(recipe.synonyms)
        self.budget = Budget(config.max_tokens, tokenizer.count)
        self.collate = Collator(recipe, config, tokenizer)
        self.augmentation = Augmentation(
            min_sizes=recipe.min_sizes or config.train_min_sizes,
            max_size=recipe.max_size or config.train_max_size,
            flip=recipe.flip,
            scale_jitter=recipe.scale_jitter,
            color_jitter=recipe.color_jitter,
        )

    def batches(self, first_step: int) -> Generator[Batch, None, None]:
        """The batches from step ``first_step`` to the last one, made ahead by ``loader_threads`` threads."""
        steps, threads = range(first_step, self.recipe.steps), self.recipe.loader_threads
        if threads == 0:
            yield from map(self.batch, steps)
            return
        pool = ThreadPoolExecutor(threads, thread_name_prefix="loader")
        try:
            waiting: deque[Future[Batch]] = deque()
            for step in steps:
                waiting.append(pool.submit(self.batch, step))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def batch(self, step: int) -> Batch:
        """This worker's batch of ``step``."""
        shape = draw_step_shape(self.augmentation, np.random.default_rng([self.recipe.seed, STEP_STREAM, step]))
        first = step * self.recipe.batch_size
        positions = range(first + self.rank, first + self.recipe.batch_size, self.size)
        return self.collate([self.example(position, shape) for position in positions], shape)

    def example(self, position: int, shape: StepShape) -> Example:
        """The sample at ``position`` of the mix, upright and augmented."""
        random = np.random.default_rng([self.recipe.seed, SAMPLE_STREAM, position])
        ref = self.mix.sample_ref(position)
        sample = self.mix.load(ref)
        labels = sample.labels
        picture, boxes = _upright(sample)
        view = draw_view(picture.size[::-1], self._said_of(ref, labels), self.augmentation, shape, random)
        seen = jitter_colors(render(picture, view), self.recipe.color_jitter, random)
        boxes, kept = view_boxes(boxes, view)
        if self.config.last_pixel_left_out:
            boxes = without_last_pixel(boxes, view)
        return Example(
            position=position,
            image=image_tensor(seen, view.size_hw),
            prompt=self._prompt(ref, sample, random),
            boxes_xyxy=boxes,
            phrases=tuple(labels.boxes[i].phrase for i in kept),
            scores=tuple(labels.boxes[i].score for i in kept),
            labels=labels,
            card=sample.card,
        )

    def _said_of(self, ref: SampleRef, labels: SampleLabels) -> str:
        """The caption and the prompts of the classes in the picture: all texts that may say left or right."""
        asked = self.mix.datasets[ref.dataset].asked
        return " ".join([labels.caption, *(asked[one.text].text for one in labels.phrases if one.text in asked)])

    def _prompt(self, ref: SampleRef, sample: MixSample, random: np.random.Generator) -> TrainingPrompt:
        if sample.card.task == "grounding":
            count = int(random.integers(self.recipe.caption_negatives + 1))
            others = self.mix.draw_labels(ref.dataset, count, random) if count else []
            known = self.mix.known_names(sample.labels) if others else ()
            return packed_caption(sample.labels, others, self.relations, self.budget, random, known)
        return class_prompt(
            sample.labels,
            sample.card.classes,
            self.relations,
            self.budget,
            random,
            max_negatives=self.recipe.max_negatives,
            known=self.mix.known_names(sample.labels),
            asked=self.mix.datasets[ref.dataset].asked,
        )


def pictures_at_once(recipe: TrainRecipe, workers: int) -> int:
    """The most pictures that a worker passes through its model at once. ValueError where a worker would have none."""
    parts = workers * recipe.accumulation
    if recipe.batch_size < parts:
        each = f", each in {recipe.accumulation} parts (accumulation)" if recipe.accumulation > 1 else ""
        raise ValueError(
            f"batch_size {recipe.batch_size} cannot be shared by {workers} workers{each}; choose at least {parts}"
        )
    return -(-recipe.batch_size // parts)


def _upright(sample: MixSample) -> tuple[Image.Image, NDArray[np.float32]]:
    """The picture turned by its EXIF orientation, as a teacher sees it, and its boxes ``[N, 4]`` in it."""
    turn, labels = orientation_of(sample.image), sample.labels
    boxes = [box_upright(box.box_xyxy, turn, labels.width, labels.height) for box in labels.boxes]
    return upright(_decode(sample), turn), np.array(boxes, dtype=np.float32).reshape(-1, 4)


def _decode(sample: MixSample) -> Image.Image:
    try:
        image = open_picture_file(sample.image)
        _check_size(image, sample.labels)
        return as_rgb(image)
    except (OSError, SyntaxError, RuntimeError, Image.DecompressionBombError) as error:  # Pillow's, by format
        raise ValueError(
            f"sample {sample.labels.key!r}: its picture cannot be read ({error}); run `verify` on the dataset"
        ) from None


def _check_size(image: Image.Image, labels: SampleLabels) -> None:
    if image.size != (labels.width, labels.height):
        raise ValueError(
            f"sample {labels.key!r}: its picture has {image.width} x {image.height} pixels, its labels say "
            f"{labels.width} x {labels.height}; run `verify` on the dataset"
        )
