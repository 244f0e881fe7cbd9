"""OWLv2 behind the ``Grounder`` protocol, through transformers.

In: resized pictures and their prompts. Out: boxes per phrase. Source: OWLv2 (Minderer et al., NeurIPS 2023, section 3);
transformers' Owlv2Processor.

Each phrase is a text query of its own, of at most 16 CLIP tokens, as it stands in the caption (no "a photo of"): the
caption around it is not read, so a prompt has no length, and all phrases of a picture are asked at once. A longer
phrase is not asked for, never cut: ``engine.prompts`` leaves it out and counts it. A box's score for a phrase is the
sigmoid of its logit, as the processor defines it; the processor then gives a box to its best phrase alone, which is not
done here: two phrases may name one thing, and what else was asked must not change a phrase's boxes.

Checkpoints on the hub: google/owlv2-base-patch16-ensemble, google/owlv2-large-patch14-ensemble.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from schemas.recipes import TeacherRecipe
from schemas.records import Candidate, Prompt
from teacher.best_pairs import best_pairs, corners
from teacher.hub_checkpoint import checkpoint_folder, folder_digest, load_tokenizer, load_weights
from teacher.owlv2_image import SquareRules
from teacher.protocol import Question, distinct_pictures
from teacher.torch_device import choose_device, cpu_threads, wants_bf16


class Owlv2Grounder:
    """One OWLv2 checkpoint, opened for inference."""

    full_batches = False

    def __init__(self, recipe: TeacherRecipe) -> None:
        import transformers

        if recipe.min_size or recipe.max_size:
            raise ValueError(
                "teacher.min_size and max_size: OWLv2 has one input size, its checkpoint's; leave them out"
            )
        folder = checkpoint_folder(recipe.checkpoint, recipe.revision)
        self._device = choose_device(recipe.device)
        self._model = load_weights(transformers.Owlv2ForObjectDetection, folder, "owlv2", self._device)
        self._tokenizer = load_tokenizer(transformers.CLIPTokenizerFast, folder)
        self._rules = SquareRules.read(folder)
        self._bf16 = wants_bf16(recipe.precision, self._device)
        config = self._model.config
        _check_vocabulary(self._tokenizer, config.text_config.vocab_size, folder)
        self._phrase_tokens: int = config.text_config.max_position_embeddings
        if self._rules.side != config.vision_config.image_size:
            raise ValueError(
                f"{folder}: pictures of {self._rules.side} for a model of {config.vision_config.image_size}"
            )
        self.max_tokens = self._phrase_tokens
        self.digest = folder_digest(folder, {"grounder": "owlv2"})
        self._threads = recipe.threads

    def count_tokens(self, text: str) -> int:
        """0: a prompt is read phrase by phrase, so it may have any length."""
        return 0

    def phrase_fits(self, text: str) -> bool:
        return len(self._tokenizer(text, verbose=False)["input_ids"]) <= self._phrase_tokens

    def bucket(self, width: int, height: int) -> tuple[int, int]:
        return self._rules.side, self._rules.side

    def prepare(self, image: Image) -> Tensor:
        return self._rules.tensor(image)

    def ground(self, questions: Sequence[Question], min_score: float) -> list[list[Candidate]]:
        with torch.inference_mode(), cpu_threads(self._device, self._threads):
            return self._answer(questions, min_score)

    def _answer(self, questions: Sequence[Question], min_score: float) -> list[list[Candidate]]:
        pictures, queries, places = _by_picture(questions)
        if not any(queries):
            return [[] for _ in questions]
        longest = max(map(len, queries))
        # A picture with fewer phrases than its neighbours asks any of them again; the answers are not looked at.
        filled = [texts + [next(filter(None, queries))[0]] * (longest - len(texts)) for texts in queries]
        text = self._tokenizer(
            [text for texts in filled for text in texts],
            padding="max_length",
            max_length=self._phrase_tokens,
            return_tensors="pt",
        ).to(self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            output = self._model(
                input_ids=text["input_ids"],
                attention_mask=text["attention_mask"],
                pixel_values=torch.stack(pictures).to(self._device),
            )
        scores, boxes = output.logits.float().sigmoid().cpu(), corners(output.pred_boxes.float().cpu())
        return [
            _candidates(
                scores[picture, :, first : first + len(question.prompt.spans)], boxes[picture], question, min_score
            )
            for question, (picture, first) in zip(questions, places, strict=True)
        ]


def _check_vocabulary(tokenizer: Any, size: int, folder: Path) -> None:
    """A phrase's embedding is taken at its largest id, wherever that is: the end must have it."""
    if tokenizer.eos_token_id != size - 1 or len(tokenizer) > size:
        raise ValueError(
            f"{folder}: not the vocabulary of its model: wanted {size} tokens, the last one the end of a text; found "
            f"{len(tokenizer)}, the end being {tokenizer.eos_token_id}"
        )


def _by_picture(questions: Sequence[Question]) -> tuple[list[Tensor], list[list[str]], list[tuple[int, int]]]:
    """The pictures, each once, the phrases asked of each, and for each question its picture and first phrase."""
    pictures, numbers = distinct_pictures(questions)
    queries: list[list[str]] = [[] for _ in pictures]
    places = []
    for question, number in zip(questions, numbers, strict=True):
        places.append((number, len(queries[number])))
        queries[number] += _phrases(question.prompt)
    return pictures, queries, places


def _phrases(prompt: Prompt) -> list[str]:
    return [prompt.text[span.start : span.end] for span in prompt.spans]


def _candidates(scores_QP: Tensor, boxes_Q4: Tensor, question: Question, min_score: float) -> list[Candidate]:
    """Boxes in pixels of the picture: the model's unit is the side of the padded square, which is its longer side.
    What lies wholly in the padding is no box."""
    boxes_xyxy = boxes_Q4 * max(question.width, question.height)
    inside = (boxes_xyxy[:, 0] < question.width) & (boxes_xyxy[:, 1] < question.height)
    phrases = [span.phrase for span in question.prompt.spans]
    return best_pairs(scores_QP[inside], boxes_xyxy[inside], phrases, min_score)
