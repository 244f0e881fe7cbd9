"""What a teacher is to the engine: one protocol, and the question it answers.

In: decoded pictures with the phrases to be found in them. Out: scored boxes per phrase. The table of all that have the
protocol is in ``teacher/grounder.py``.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from PIL.Image import Image

from schemas.records import Candidate, Prompt


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt on one picture. ``pixels`` is what the grounder's ``prepare`` made of the picture, one and the same
    object in all questions about it."""

    pixels: Any
    prompt: Prompt
    width: int
    height: int


def distinct_pictures(questions: Sequence[Question]) -> tuple[list[Any], list[int]]:
    """The pixels of each distinct picture, and for each question the number of its picture among them."""
    pixels = {id(question.pixels): question.pixels for question in questions}
    numbers = {identity: number for number, identity in enumerate(pixels)}
    return list(pixels.values()), [numbers[id(question.pixels)] for question in questions]


class Grounder(Protocol):
    """A model that finds phrases in pictures. Not for sharing between threads, except ``prepare``."""

    digest: str
    """Of everything that decides the answers: weights, sizes, vocabulary."""
    max_tokens: int
    """Longest prompt in tokens, special ones included."""
    full_batches: bool
    """Whether batches of one size alone are wanted, as of a compiled model, which has a graph for each size: the worker
    then fills up one that has fewer pictures."""

    def count_tokens(self, text: str) -> int:
        """Tokens of the text as a prompt, special ones included."""
        ...

    def phrase_fits(self, text: str) -> bool:
        """Whether the grounder reads a phrase of this text whole; one that it does not read whole is not asked for."""
        ...

    def bucket(self, width: int, height: int) -> Hashable:
        """Pictures of one bucket go through the model in one batch. Depends on the picture's own size alone, so that
        a picture's neighbours never change its boxes."""
        ...

    def prepare(self, image: Image) -> Any:
        """The picture resized, as ``ground`` takes it. Called on threads."""
        ...

    def ground(self, questions: Sequence[Question], min_score: float) -> list[list[Candidate]]:
        """Boxes in pixels of the original picture, for each question, of at least ``min_score``.

        All questions are of one bucket. Where memory does not hold them, what PyTorch raises is passed on:
        ``torch.OutOfMemoryError`` of a GPU, ``RuntimeError`` or ``MemoryError`` of a CPU (``teacher.memory``).
        """
        ...
