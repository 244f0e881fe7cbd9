"""A teacher that answers at once: it does GLIP's work on the CPU cores, without the model.

In: questions. Out: generated boxes, the same for the same question. Pictures are resized, normalised and batched,
prompts are counted and tokenised, as by the GLIP grounder at the sizes of GLIP-T, but with nano's vocabulary. Recipes
can use it as ``teacher.grounder: instant`` in each process that has imported this file.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from glip.config import GLIPConfig
from glip.model_folder import path_of
from glip.preprocess import pad_batch
from glip.tokens import load_tokenizer
from schemas.recipes import TeacherRecipe
from schemas.records import Candidate
from teacher.glip_grounder import GlipGrounder
from teacher.grounder import GROUNDERS
from teacher.protocol import Question, distinct_pictures

NAME = "instant"
BOXES_A_PHRASE = 12  # as nano finds on web photos with scores from 0.05
NO_DEVICE = torch.device("meta")  # work on the device is skipped


class InstantGrounder(GlipGrounder):
    """GLIP's preparation of pictures and prompts, without its model; see :class:`teacher.protocol.Grounder`."""

    def __init__(self, recipe: TeacherRecipe) -> None:  # without that of the base class, which opens a model
        self._config = GLIPConfig.tiny()
        self._tokenizer = load_tokenizer(path_of("nano"))
        self._min_size, self._max_size = self._config.test_min_size, self._config.test_max_size
        self.max_tokens = self._config.max_tokens
        self.digest, self.full_batches = "0" * 64, False

    def ground(self, questions: Sequence[Question], min_score: float) -> list[list[Candidate]]:
        text = self._tokenizer.encode([one.prompt.text for one in questions], self.max_tokens, in_steps=True)
        pad_batch(distinct_pictures(questions)[0], self.bucket(questions[0].width, questions[0].height), NO_DEVICE)
        for number, question in enumerate(questions):
            for span in question.prompt.spans:
                text.token_positions(number, span.start, span.end)
        return [[one for one in _boxes(question) if one.score >= min_score] for question in questions]


def _boxes(question: Question) -> list[Candidate]:
    """Boxes of all sizes, ``BOXES_A_PHRASE`` for each phrase, the first of which passes the GLIP paper's selection."""
    width, height = question.width, question.height
    return [
        Candidate(
            span.phrase,
            (width * at / 40, height * at / 50, width * (at / 40 + 0.3), height * (at / 50 + 0.4)),
            0.9 / (number + 1) + 0.0001 * span.phrase,
        )
        for span in question.prompt.spans
        for number, at in enumerate(range(span.phrase % 5, span.phrase % 5 + BOXES_A_PHRASE))
    ]


GROUNDERS[NAME] = InstantGrounder
