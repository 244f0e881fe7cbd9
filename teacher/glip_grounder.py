"""GLIP behind the ``Grounder`` protocol: a checkpoint, its vocabulary and the device it runs on.

In: resized pictures of one bucket and their prompts. Out: boxes per phrase (SPEC sections 1, 8, 9).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from PIL.Image import Image
from torch import Tensor

from glip.checkpoint import load_model
from glip.compiled import LENGTHS, CompiledModel, CompileMode
from glip.language import TextFeatureCache
from glip.model import GLIP
from glip.postprocess import ground
from glip.preprocess import bucket_shape, image_tensor, pad_batch, resized_shape
from glip.tokens import TokenizedPrompts
from glip.transfer import to_device
from schemas.recipes import TeacherRecipe
from schemas.records import Candidate
from teacher.glip_digest import glip_digest
from teacher.protocol import Question, distinct_pictures
from teacher.torch_device import choose_device, cpu_threads, wants_bf16

PROMPTS_AT_ONCE = 32  # through the text tower on a GPU


class GlipGrounder:
    """One GLIP checkpoint, opened for inference."""

    def __init__(self, recipe: TeacherRecipe) -> None:
        self._device = choose_device(recipe.device)
        loaded = load_model(
            recipe.checkpoint, self._device, tokenizer=recipe.tokenizer, sha256=recipe.checkpoint_sha256
        )
        self._model, self._tokenizer, self._config = loaded.model.eval(), loaded.tokenizer, loaded.config
        self._text_features = text_features(self._model, self._device)
        self._min_size = recipe.min_size or self._config.test_min_size
        self._max_size = recipe.max_size or self._config.test_max_size
        self._bf16 = wants_bf16(recipe.precision, self._device)
        self.full_batches = bool(recipe.compile)
        self._forward: GLIP | CompiledModel = self._model
        if recipe.compile:
            mode: CompileMode = "reduce-overhead" if recipe.compile == "reduce-overhead" else "default"
            self._forward = CompiledModel(self._model, mode)
        self.max_tokens = self._config.max_tokens
        self.digest = glip_digest(loaded.digest, self._config, recipe)
        self._threads = recipe.threads

    def count_tokens(self, text: str) -> int:
        return self._tokenizer.count(text)

    def phrase_fits(self, text: str) -> bool:
        return self.count_tokens(text) <= self.max_tokens

    def bucket(self, width: int, height: int) -> tuple[int, int]:
        return bucket_shape(*self._resized(width, height), self._config)

    def prepare(self, image: Image) -> Tensor:
        return image_tensor(image, self._resized(image.width, image.height))

    def ground(self, questions: Sequence[Question], min_score: float) -> list[list[Candidate]]:
        with torch.inference_mode(), cpu_threads(self._device, self._threads):
            return self._answer(questions, min_score)

    def _answer(self, questions: Sequence[Question], min_score: float) -> list[list[Candidate]]:
        prompts = [question.prompt.text for question in questions]
        text = self._tokenizer.encode(prompts, self.max_tokens, in_steps=True)
        bucket = self.bucket(questions[0].width, questions[0].height)
        pictures, image_B = self._pictures(questions)
        images_I3HW = pad_batch(pictures, bucket, self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            text_BTD = self._text_features(text.ids_BT, text.attention_mask_BT)
            ids_BT, mask_BT = (to_device(part, self._device) for part in (text.ids_BT, text.attention_mask_BT))
            output = self._forward(images_I3HW, ids_BT, mask_BT, text_BTD, image_B)
        found = ground(
            output,
            [_token_positions(text, number, question) for number, question in enumerate(questions)],
            [(int(question.pixels.shape[-2]), int(question.pixels.shape[-1])) for question in questions],
            [(question.height, question.width) for question in questions],
            dataclasses.replace(self._config, candidate_min_score=min(self._config.candidate_min_score, min_score)),
            min_score,
        )
        last_pixel = 1 if self._config.last_pixel_left_out else 0
        return [
            [
                Candidate(question.prompt.spans[phrase].phrase, (x1, y1, x2 + last_pixel, y2 + last_pixel), score)
                for phrase, (x1, y1, x2, y2), score in zip(
                    boxes.phrase_index_K.tolist(), boxes.boxes_xyxy_K4.tolist(), boxes.scores_K.tolist(), strict=True
                )
            ]
            for question, boxes in zip(questions, found, strict=True)
        ]

    def _pictures(self, questions: Sequence[Question]) -> tuple[list[Tensor], Tensor | None]:
        """The pictures, and which one each question is about, None where each has its own: so it is for a compiled
        model, to which every number of pictures would be another shape."""
        pictures, numbers = distinct_pictures(questions)
        if self.full_batches or len(pictures) == len(questions):
            return [question.pixels for question in questions], None
        return pictures, to_device(torch.tensor(numbers), self._device)

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        return resized_shape(height, width, self._min_size, self._max_size)


def text_features(model: GLIP, device: torch.device) -> TextFeatureCache:
    """The text tower for this device. On a GPU starting the operations of a tower takes longer than computing them, so
    that new prompts, of which each web picture brings one, go through together: many at a time, padded to few lengths.
    """
    if device.type == "cpu":
        return TextFeatureCache(model.language_backbone)
    most = model.config.max_tokens
    lengths = (*(length for length in LENGTHS if length < most), most)
    return TextFeatureCache(model.language_backbone, rows=PROMPTS_AT_ONCE, lengths=lengths)


def _token_positions(text: TokenizedPrompts, number: int, question: Question) -> list[list[int]]:
    return [text.token_positions(number, span.start, span.end) for span in question.prompt.spans]
