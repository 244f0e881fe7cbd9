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
from teacher.glip_digest import folder_digest


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
        """The picture resized and normalised. Called on threads."""
        ...

    def ground(self, questions: Sequence[Question], min_score: float) -> list[list[Candidate]]:
        """Boxes in pixels of the original picture, for each question, of at least ``min_score``.

        All questions are of one bucket. Where memory does not hold them, what PyTorch raises is passed on:
        ``torch.OutOfMemoryError`` of a GPU, ``RuntimeError`` or ``MemoryError`` of a CPU (``teacher.memory``).
        """
        ...


def _glip(recipe: TeacherRecipe) -> Grounder:
    from teacher.glip_grounder import GlipGrounder

    return GlipGrounder(recipe)


def _grounding_dino(recipe: TeacherRecipe) -> Grounder:
    from teacher.grounding_dino_grounder import GroundingDinoGrounder

    return GroundingDinoGrounder(recipe)


def _owlv2(recipe: TeacherRecipe) -> Grounder:
    from teacher.owlv2_grounder import Owlv2Grounder

    return Owlv2Grounder(recipe)


def _ensemble(recipe: TeacherRecipe) -> Grounder:
    from teacher.ensemble_grounder import EnsembleGrounder

    first, second = (
        _open(member.model_copy(update={name: getattr(recipe, name) for name in ("device", "precision", "threads")}))
        for member in recipe.members
    )
    return EnsembleGrounder(first, second)


GROUNDERS: dict[str, Callable[[TeacherRecipe], Grounder]] = {
    "glip": _glip,
    "grounding-dino": _grounding_dino,
    "mm-grounding-dino": _grounding_dino,
    "owlv2": _owlv2,
    "ensemble": _ensemble,
}


QUICK_DIGESTS: dict[str, Callable[[TeacherRecipe], str | None]] = {"glip": folder_digest}
"""For grounders whose digest can be had without opening them; None where this checkpoint has to be opened."""


def teacher_digest(recipe: TeacherRecipe) -> str:
    """The digest of the recipe's grounder. One that has to be opened for it is opened on the CPU: the machine that
    hands out the work may have no GPU.

    ValueError or FileNotFoundError where there is no such checkpoint.
    """
    quick = QUICK_DIGESTS[recipe.grounder](recipe) if recipe.grounder in QUICK_DIGESTS else None
    return quick or _open(recipe.model_copy(update={"device": "cpu", "compile": False})).digest


@lru_cache(maxsize=1)
def open_grounder(recipe: TeacherRecipe) -> Grounder:
    """The recipe's grounder, on its device; opened once in a process. ValueError names what is missing."""
    return _open(recipe)


def _open(recipe: TeacherRecipe) -> Grounder:
    if recipe.grounder not in GROUNDERS:
        raise ValueError(f"teacher.grounder: no grounder {recipe.grounder!r}; there are: {', '.join(GROUNDERS)}")
    return GROUNDERS[recipe.grounder](recipe)
