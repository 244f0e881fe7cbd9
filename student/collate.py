"""The batch of a step from its examples: padded sizes, tokens, targets, and the words that added objectives need.

In: augmented samples, each with its prompt. Out: the tensors of one worker's step. All that is random here is drawn
from (seed, position in the mix).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from glip.config import GLIPConfig
from glip.losses import GroundingTarget
from glip.masked_language import NOT_MASKED
from glip.preprocess import bucket_shape
from glip.tokens import PromptTokenizer, TokenizedPrompts
from schemas.recipes import TrainRecipe
from schemas.shards import DatasetCard, SampleLabels, SamplePhrase
from student.augment import FloatArray, StepShape
from student.picture_words import MASKED_STREAM, BoxTexts, PictureWords, has_objectives, masked_prompt, picture_words
from student.prompts import TrainingPrompt


@dataclass(frozen=True, slots=True)
class Example:
    """One sample as it is learned from, at ``position`` of the mix.

    image: ``[3, H, W]``, normalised. boxes_xyxy: ``[N, 4]`` in its pixels; phrases, scores: the phrase number and the
    score of each box.
    """

    position: int
    image: Tensor
    prompt: TrainingPrompt
    boxes_xyxy: FloatArray
    phrases: tuple[int, ...]
    scores: tuple[float, ...]
    labels: SampleLabels
    card: DatasetCard

    @property
    def is_pseudo(self) -> bool:
        return self.card.origin == "pseudo"

    @property
    def is_grounding(self) -> bool:
        return self.card.task == "grounding"


@dataclass(frozen=True, slots=True)
class Batch:
    """What one worker learns from in one step. ``images`` are to be padded to ``shape_hw`` at least.

    ``words`` is None unless the recipe adds an objective.
    """

    images: list[Tensor]
    shape_hw: tuple[int, int]
    token_ids_bt: Tensor
    attention_mask_bt: Tensor
    targets: list[GroundingTarget]
    words: list[PictureWords] | None = None


@dataclass(frozen=True, slots=True)
class Collator:
    """Makes batches by a recipe, for a model of ``config`` and its tokenizer."""

    recipe: TrainRecipe
    config: GLIPConfig
    tokenizer: PromptTokenizer

    def __call__(self, examples: list[Example], shape: StepShape) -> Batch:
        """The batch of some examples of one step."""
        prompts = self.tokenizer.encode([example.prompt.text for example in examples], self.config.max_tokens)
        sizes = [(example.image.shape[-2], example.image.shape[-1]) for example in examples]
        buckets = [bucket_shape(*(shape.canvas_hw or size), self.config) for size in sizes]
        targets = [self._target(example, prompts, number) for number, example in enumerate(examples)]
        ids_BT, words = prompts.ids_BT, None
        if has_objectives(self.recipe):
            ids_BT, words = self._words(examples, prompts)
        return Batch(
            images=[example.image for example in examples],
            shape_hw=(max(height for height, _ in buckets), max(width for _, width in buckets)),
            token_ids_bt=ids_BT,
            attention_mask_bt=prompts.attention_mask_BT,
            targets=targets,
            words=words,
        )

    def _words(self, examples: list[Example], prompts: TokenizedPrompts) -> tuple[Tensor, list[PictureWords]]:
        """The token ids to read, masked where masked language modelling is on, and the words of each picture."""
        read, words = [], []
        for number, example in enumerate(examples):
            random = np.random.default_rng([self.recipe.seed, MASKED_STREAM, example.position])
            ids_T = prompts.ids_BT[number]
            told_T = torch.full_like(ids_T, NOT_MASKED)
            if self.recipe.masked_language and example.is_grounding:
                mask_T = prompts.attention_mask_BT[number]
                ids_T, told_T = masked_prompt(ids_T, mask_T, self.tokenizer, self.recipe.masked_share, random)
            read.append(ids_T)
            names = [_label_of(phrase, example) for phrase in example.labels.phrases]
            boxes = _box_texts(example, names, trusted=self.recipe.pseudo_regression or not example.is_pseudo)
            limit = self.recipe.granular_concepts
            words.append(
                picture_words(example.prompt, names, boxes, told_T, prompts, number, max_boxes=limit, random=random)
            )
        return torch.stack(read), words

    def _target(self, example: Example, prompts: TokenizedPrompts, number: int) -> GroundingTarget:
        """The boxes and the tokens that name each. A box that several phrases name is one box with all their tokens."""
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
            uncertain_T=self._uncertain(example, prompts, number),
        )

    def _uncertain(self, example: Example, prompts: TokenizedPrompts, number: int) -> Tensor | None:
        """The tokens of what may be in the picture without a box: classes annotated only in part and, with
        ``ignore_ungrounded``, phrases that selection left without a box. None where there are none."""
        labels = example.labels
        incomplete = set(labels.incomplete_classes or ())
        boxed = {box.phrase for box in labels.boxes}
        forgiving = self.recipe.ignore_ungrounded and example.is_pseudo
        spans = [
            span
            for place, (phrase, span) in enumerate(zip(labels.phrases, example.prompt.spans, strict=True))
            if span is not None and (phrase.text in incomplete or (forgiving and place not in boxed))
        ]
        return prompts.token_map(number, spans) if spans else None


def split_batch(batch: Batch, parts: int) -> list[Batch]:
    """A batch as ``parts`` batches of the same padding, whose numbers of pictures differ by one at most. ValueError
    where it has fewer pictures than parts."""
    count = len(batch.images)
    if count < parts:
        raise ValueError(f"{count} pictures of a worker cannot go in {parts} parts; choose batch_size or accumulation")
    slices = [slice(count * part // parts, count * (part + 1) // parts) for part in range(parts)]
    return [
        Batch(
            batch.images[part],
            batch.shape_hw,
            batch.token_ids_bt[part],
            batch.attention_mask_bt[part],
            batch.targets[part],
            None if batch.words is None else batch.words[part],
        )
        for part in slices
    ]


def _label_of(phrase: SamplePhrase, example: Example) -> str:
    """The lower-case label of a phrase: the lemma of its head, or the name of its class."""
    return (phrase.head_lemma if example.is_grounding else phrase.text).lower()


def _box_texts(example: Example, names: list[str], *, trusted: bool) -> BoxTexts:
    phrases = example.labels.phrases
    return BoxTexts(
        boxes_xyxy=example.boxes_xyxy.tolist(),
        labels=[names[phrase] for phrase in example.phrases],
        texts=[phrases[phrase].text for phrase in example.phrases],
        caption=example.labels.caption if example.is_grounding else None,
        size_hw=(example.image.shape[-2], example.image.shape[-1]),
        trusted=trusted,
    )
