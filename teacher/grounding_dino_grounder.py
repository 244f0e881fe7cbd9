"""Grounding DINO and MM-Grounding-DINO behind the ``Grounder`` protocol, through transformers.

In: resized pictures of one bucket and their prompts. Out: boxes per phrase. Sources: Grounding DINO (Liu et al., ECCV
2024, sections 3 and 4), MM-Grounding-DINO (Zhao et al. 2024), and transformers' GroundingDinoProcessor, which is the
processor of both.

A prompt is closed by a full stop, as in training: the model lets tokens see each other between the special tokens
[CLS], [SEP], "." and "?" only. A box's score for a phrase is the highest probability among the phrase's tokens, as the
processor defines it (MMDetection and the paper's COCO evaluation take the mean instead). Nothing suppresses overlaps:
the models are trained to give a thing one box. Of a prompt the 300 best (box, phrase) pairs are kept, as in the
official evaluation.

Checkpoints on the hub: IDEA-Research/grounding-dino-tiny and -base; openmmlab-community/mm_grounding_dino_tiny_
o365v1_goldg_v3det and its sisters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from schemas.recipes import TeacherRecipe
from schemas.records import Candidate
from teacher.best_pairs import best_pairs, corners
from teacher.detr_image import ImageRules, pad_with_mask
from teacher.hub_checkpoint import checkpoint_folder, folder_digest, load_tokenizer, load_weights
from teacher.protocol import Question
from teacher.torch_device import choose_device, cpu_threads

CLASSES = {
    "grounding-dino": "GroundingDinoForObjectDetection",
    "mm-grounding-dino": "MMGroundingDinoForObjectDetection",
}
# The ids of [CLS], [SEP], "." and "?" in bert-base-uncased: written into the model's code, so a vocabulary must agree.
SEPARATORS = {"[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}
CLOSED = (".", "?")


class GroundingDinoGrounder:
    """One checkpoint of either model, opened for inference."""

    full_batches = False

    def __init__(self, recipe: TeacherRecipe) -> None:
        import transformers

        if not hasattr(transformers, CLASSES[recipe.grounder]):
            raise ValueError(f"teacher.grounder: transformers {transformers.__version__} has no {recipe.grounder}")
        folder = checkpoint_folder(recipe.checkpoint, recipe.revision)
        self._device = choose_device(recipe.device)
        self._model = load_weights(
            getattr(transformers, CLASSES[recipe.grounder]), folder, recipe.grounder, self._device
        )
        self._tokenizer = load_tokenizer(transformers.BertTokenizerFast, folder)
        _check_separators(self._tokenizer, str(folder))
        self._rules = ImageRules.read(folder, recipe.min_size, recipe.max_size)
        self._bf16 = recipe.precision == "bf16"  # never by itself: published and compared in fp32
        config = self._model.config
        self.max_tokens: int = min(config.max_text_len, config.text_config.max_position_embeddings)
        sizes = {"grounder": recipe.grounder, "sizes": self._rules.sizes}
        self.digest = folder_digest(folder, sizes)
        self._threads = recipe.threads

    def count_tokens(self, text: str) -> int:
        return len(self._tokenizer(closed(text), verbose=False)["input_ids"])

    def phrase_fits(self, text: str) -> bool:
        return self.count_tokens(text) <= self.max_tokens

    def bucket(self, width: int, height: int) -> tuple[int, int]:
        return self._rules.padded_shape(width, height)

    def prepare(self, image: Image) -> Tensor:
        return self._rules.tensor(image)

    def ground(self, questions: Sequence[Question], min_score: float) -> list[list[Candidate]]:
        with torch.inference_mode(), cpu_threads(self._device, self._threads):
            return self._answer(questions, min_score)

    def _answer(self, questions: Sequence[Question], min_score: float) -> list[list[Candidate]]:
        text = self._tokenizer(
            [closed(question.prompt.text) for question in questions],
            padding=True,
            return_tensors="pt",
            return_offsets_mapping=True,
        )
        offsets = text.pop("offset_mapping").tolist()
        pixels, mask = pad_with_mask(
            [question.pixels for question in questions], self.bucket(questions[0].width, questions[0].height)
        )
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            output = self._model(
                pixel_values=pixels.to(self._device), pixel_mask=mask.to(self._device), **text.to(self._device)
            )
        probabilities, boxes = output.logits.float().sigmoid().cpu(), output.pred_boxes.float().cpu()
        return [
            _candidates(probabilities[number], boxes[number], question, offsets[number], min_score)
            for number, question in enumerate(questions)
        ]


def closed(text: str) -> str:
    """The prompt with a full stop at its end; offsets of what stands before it do not change."""
    text = text.rstrip()
    return text if text.endswith(CLOSED) else text + "."


def tokens_of(span: tuple[int, int], offsets: Sequence[Sequence[int]]) -> list[int]:
    """Positions of the tokens that share a character with a half-open span; (0, 0), as of [CLS], has none."""
    return [place for place, (start, end) in enumerate(offsets) if start < span[1] and span[0] < end]


def _candidates(
    probabilities_QT: Tensor, boxes_Q4: Tensor, question: Question, offsets: Sequence[Sequence[int]], min_score: float
) -> list[Candidate]:
    """The best pairs of a box and a phrase of at least ``min_score``; a phrase without a token has none."""
    spans = [(span.phrase, tokens_of((span.start, span.end), offsets)) for span in question.prompt.spans]
    asked = [(phrase, tokens) for phrase, tokens in spans if tokens]
    if not asked:
        return []
    scores_QP = torch.stack([probabilities_QT[:, tokens].amax(dim=1) for _, tokens in asked], dim=1)
    boxes_xyxy_Q4 = corners(boxes_Q4) * torch.tensor([question.width, question.height] * 2)
    return best_pairs(scores_QP, boxes_xyxy_Q4, [phrase for phrase, _ in asked], min_score)


def _check_separators(tokenizer: Any, where: str) -> None:
    found = {word: tokenizer.convert_tokens_to_ids(word) for word in SEPARATORS}
    if found != SEPARATORS:
        raise ValueError(
            f"{where}: not the vocabulary of bert-base-uncased: wanted the ids {SEPARATORS}, found {found}"
        )
