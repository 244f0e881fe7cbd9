"""What a teacher is to the engine: one protocol, and the table of all that have it.

In: decoded pictures with the phrases to be found in them. Out: scored boxes per phrase. To add one: write a file with a
class of this protocol and a line in ``GROUNDERS``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from PIL.Image import Image

from schemas.recipes import TeacherRecipe
from schemas.records import Candidate, Prompt


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt on one picture. ``pixels`` is what the grounder's ``prepare`` made of the picture."""

    pixels: Any
    prompt: Prompt
    width: int
    height: int


class Grounder(Protocol):
    """A model that finds phrases in pictures. Not for sharing between threads, except ``prepare``."""

    digest: str
    """Of everything that decides the answers: weights, sizes, vocabulary."""
    max_tokens: int
    """Longest prompt in tokens, special ones included."""

    def count_tokens(self, text: str) -> int:
        """Tokens of the text as a prompt, special ones included."""
        ...

    def bucket(self, width: int, height: int) -> Hashable:
        """Pictures of one bucket go through the model in one batch. Depends on the picture's own size alone, so that
        a picture's neighbours never change its boxes."""
        ...

    def prepare(self, image: Image) -> Any:
        """The picture resized and normalised. Called on threads."""
        ...

    def ground(self, questions: Sequence[Question], min_score: float) -> list[list[Candidate]]:
        """Boxes in pixels of the original picture, for each question, of at least ``min_score``.

        All questions are of one bucket. ``torch.OutOfMemoryError`` where the batch is too large.
        """
        ...


def _glip(recipe: TeacherRecipe) -> Grounder:
    from teacher.glip_grounder import GlipGrounder

    return GlipGrounder(recipe)


GROUNDERS: dict[str, Callable[[TeacherRecipe], Grounder]] = {"glip": _glip}


def teacher_digest(recipe: TeacherRecipe) -> str:
    """The digest of the recipe's grounder, read on the CPU: the machine that hands out the work may have no GPU.

    ValueError or FileNotFoundError where there is no such checkpoint.
    """
    return open_grounder.__wrapped__(recipe.model_copy(update={"device": "cpu"})).digest


@lru_cache(maxsize=1)
def open_grounder(recipe: TeacherRecipe) -> Grounder:
    """The recipe's grounder, on its device; opened once in a process. ValueError names what is missing."""
    if recipe.grounder not in GROUNDERS:
        raise ValueError(f"teacher.grounder: no grounder {recipe.grounder!r}; there are: {', '.join(GROUNDERS)}")
    return GROUNDERS[recipe.grounder](recipe)
