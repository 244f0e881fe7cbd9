"""The teachers there are: a recipe in, an opened grounder or its digest out.

To add one: write a file with a class of the protocol (``teacher/protocol.py``) and a line in ``GROUNDERS``. A grounder
is imported when it is opened, since a digest can be had without PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from glip.model_folder import CONFIG_FILE, path_of
from schemas.recipes import TeacherRecipe
from teacher.glip_digest import glip_folder_digest
from teacher.protocol import Grounder


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


def teacher_digest(recipe: TeacherRecipe) -> str:
    """The digest of the recipe's grounder. One that has to be opened for it is opened on the CPU: the machine that
    hands out the work may have no GPU.

    ValueError or FileNotFoundError where there is no such checkpoint.
    """
    return quick_digest(recipe) or _open(recipe.model_copy(update={"device": "cpu", "compile": False})).digest


def quick_digest(recipe: TeacherRecipe) -> str | None:
    """The digest where it can be had without opening the grounder, which takes seconds; None elsewhere."""
    return glip_folder_digest(recipe) if recipe.grounder == "glip" else None


def open_grounder(recipe: TeacherRecipe) -> Grounder:
    """The recipe's grounder, on its device; opened once in a process, and again where its model folder holds another
    model. ValueError names what is missing."""
    return _opened(recipe, _descriptions(recipe))


@lru_cache(maxsize=1)
def _opened(recipe: TeacherRecipe, descriptions: tuple[bytes, ...]) -> Grounder:
    return _open(recipe)


def _descriptions(recipe: TeacherRecipe) -> tuple[bytes, ...]:
    """The descriptions of the recipe's model folders. They are part of the cache's key, because a training run writes
    each of its models to the same path."""
    file = path_of(recipe.checkpoint) / CONFIG_FILE
    own = file.read_bytes() if file.is_file() else b""
    return (own, *(one for member in recipe.members for one in _descriptions(member)))


def _open(recipe: TeacherRecipe) -> Grounder:
    if recipe.grounder not in GROUNDERS:
        raise ValueError(f"teacher.grounder: no grounder {recipe.grounder!r}; there are: {', '.join(GROUNDERS)}")
    return GROUNDERS[recipe.grounder](recipe)
