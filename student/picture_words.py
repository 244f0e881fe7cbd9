"""The words that a run's added objectives need of a picture: the label of each token, and the text of each box.

In: a prompt and the labels it was made from. Out: :class:`PictureWords`, which travels with the batch; and, for a whole
batch, the tensors that ``glip/contrast.py`` and ``glip/granular.py`` take.

Shapes: T tokens of the prompt, K boxes with a text, S tokens of a text, L labels of the batch.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.mix import NameRelations
from glip.contrast import NO_CONCEPT, WordConcepts
from glip.granular import VisualConcepts
from glip.masked_language import NOT_MASKED, mask_tokens
from glip.processes import ALONE, Processes
from glip.tokens import PromptTokenizer, TokenizedPrompts
from schemas.recipes import TrainRecipe
from student.prompts import TrainingPrompt

MASKED_STREAM = 2  # number of a random stream; student/data.py has 0 and 1


def has_objectives(recipe: TrainRecipe) -> bool:
    """Whether a recipe adds an objective with a head of its own."""
    return bool(recipe.region_word_contrast or recipe.masked_language or recipe.granular_alignment)


@dataclass(frozen=True, slots=True)
class PictureWords:
    """The words and boxes of one picture.

    labels: lemmas of phrases' heads, or names of classes. token_label_T: long, indices of ``labels``, NO_CONCEPT for a
    token of no phrase. told_T: long, the original id of a masked token, glip.masked_language.NOT_MASKED elsewhere.
    boxes_xyxy_K4: pixels of the augmented picture. label_K: long, indices of ``labels``, NO_CONCEPT for the whole
    picture. texts: the text of each box. locate_K: bool, whether the box is to be found from its text.
    """

    labels: tuple[str, ...]
    token_label_T: Tensor
    told_T: Tensor
    boxes_xyxy_K4: Tensor
    label_K: Tensor
    texts: tuple[str, ...]
    locate_K: Tensor


@dataclass(frozen=True, slots=True)
class BoxTexts:
    """The boxes of one picture, each with its label and its text.

    boxes_xyxy: pixels of the augmented picture, which has ``size_hw``. caption: of the whole picture, or None. trusted:
    whether the boxes are good enough to learn to locate them.
    """

    boxes_xyxy: Sequence[Sequence[float]]
    labels: Sequence[str]
    texts: Sequence[str]
    caption: str | None
    size_hw: tuple[int, int]
    trusted: bool


def picture_words(
    prompt: TrainingPrompt,
    names: Sequence[str],
    boxes: BoxTexts,
    told_T: Tensor,
    tokens: TokenizedPrompts,
    number: int,
    *,
    max_boxes: int,
    random: np.random.Generator,
) -> PictureWords:
    """The words and boxes of one picture, at most ``max_boxes`` boxes drawn at random.

    names: the label of each phrase of the sample. number: the row of ``prompt`` in ``tokens``. A box whose text another
    box shares is not to be located, since the text does not tell which of them is meant.
    """
    placed = [(name, span) for name, span in zip(names, prompt.spans, strict=True) if span is not None]
    placed += [(name.lower(), span) for name, span in prompt.others]  # labels of the sample are lower-case, too
    chosen = sorted(random.permutation(len(boxes.labels))[:max_boxes].tolist())
    labels = tuple(dict.fromkeys([*(name for name, _ in placed), *(boxes.labels[i] for i in chosen)]))
    index = {label: place for place, label in enumerate(labels)}
    token_label_T = torch.full((tokens.ids_BT.shape[1],), NO_CONCEPT)
    for name, span in placed:
        token_label_T[tokens.token_positions(number, *span)] = index[name]
    often = Counter(boxes.texts)
    concepts: list[tuple[Sequence[float], int, str, bool]] = [
        (boxes.boxes_xyxy[i], index[boxes.labels[i]], boxes.texts[i], boxes.trusted and often[boxes.texts[i]] == 1)
        for i in chosen
    ]
    if boxes.caption is not None:
        height, width = boxes.size_hw
        concepts.append(((0.0, 0.0, width, height), NO_CONCEPT, boxes.caption, False))
    return PictureWords(
        labels=labels,
        token_label_T=token_label_T,
        told_T=told_T,
        boxes_xyxy_K4=torch.tensor([box for box, _, _, _ in concepts], dtype=torch.float32).reshape(-1, 4),
        label_K=torch.tensor([label for _, label, _, _ in concepts], dtype=torch.long),
        texts=tuple(text for _, _, text, _ in concepts),
        locate_K=torch.tensor([locate for _, _, _, locate in concepts], dtype=torch.bool),
    )


def masked_prompt(
    ids_T: Tensor, attention_mask_T: Tensor, tokenizer: PromptTokenizer, share: float, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """The ids ``[T]`` with a share of the tokens masked, and the original ids of those; never [CLS], [SEP] or padding.

    The result does not depend on the length of the padding, which the other prompts of the worker decide.
    """
    length = int(attention_mask_T.sum())
    words_T = ids_T[:length]
    read_T, told_T = mask_tokens(
        words_T,
        (words_T != tokenizer.special_ids["[CLS]"]) & (words_T != tokenizer.special_ids["[SEP]"]),
        share=share,
        mask_id=tokenizer.special_ids["[MASK]"],
        vocabulary=tokenizer.vocabulary_size,
        random=random,
    )
    told_T = torch.cat((told_T, torch.full_like(ids_T[length:], NOT_MASKED)))
    return torch.cat((read_T, ids_T[length:])), told_T


@dataclass(frozen=True, slots=True)
class BatchWords:
    """The labels in the batches of all workers: for each picture of this worker the index of each of its labels among
    them, and which of them are related ``[L, L]``."""

    places: tuple[Tensor, ...]
    related_LL: Tensor


def batch_words(pictures: Sequence[PictureWords], relations: NameRelations, processes: Processes = ALONE) -> BatchWords:
    """Number the labels of a batch, the same way in all processes, and find which of them may mean the same thing."""
    everyone = processes.gather_text(json.dumps([label for picture in pictures for label in picture.labels]))
    labels = list(dict.fromkeys(label for mine in everyone for label in json.loads(mine)))
    index = {label: place for place, label in enumerate(labels)}
    places = tuple(torch.tensor([index[label] for label in p.labels], dtype=torch.long) for p in pictures)
    return BatchWords(places, torch.from_numpy(relations.matrix(labels)))


def word_concepts(pictures: Sequence[PictureWords], words: BatchWords, device: torch.device) -> WordConcepts:
    """The input of ``glip.contrast``, on ``device``."""
    concepts = [_placed(p.token_label_T, places) for p, places in zip(pictures, words.places, strict=True)]
    return WordConcepts(torch.stack(concepts).to(device), words.related_LL.to(device))


def visual_concepts(
    pictures: Sequence[PictureWords], words: BatchWords, tokenizer: PromptTokenizer, max_tokens: int
) -> VisualConcepts:
    """The input of ``glip.granular``. If no picture has a box or a caption, it has one empty text and no concept."""
    tokens = tokenizer.encode([text for picture in pictures for text in picture.texts] or [""], max_tokens)
    return VisualConcepts(
        image_K=torch.cat([torch.full((len(p.texts),), number) for number, p in enumerate(pictures)]),
        boxes_xyxy_K4=torch.cat([p.boxes_xyxy_K4 for p in pictures]),
        ids_KT=tokens.ids_BT,
        mask_KT=tokens.attention_mask_BT,
        label_K=torch.cat([_placed(p.label_K, places) for p, places in zip(pictures, words.places, strict=True)]),
        related_LL=words.related_LL,
        locate_K=torch.cat([p.locate_K for p in pictures]),
    )


def _placed(label: Tensor, places: Tensor) -> Tensor:
    """Indices into a picture's labels as indices into the batch's labels; NO_CONCEPT stays."""
    if len(places) == 0:
        return label
    return torch.where(label == NO_CONCEPT, NO_CONCEPT, places[label.clamp(min=0)])
