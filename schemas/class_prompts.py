"""Knowledge prompts: the phrase that a class of a detection dataset is asked by, where its bare name says too little.

In: for some classes a phrase, or a prefix, a name and a suffix. Out: :class:`AskedClass`: the text that stands in the
prompt in the place of the class's name, and the part of it that boxes of the class belong to. Of prefix, name and
suffix that is the name alone, as in GLIP's configurations of ODinW (``caption_prompt``, GLIP section 5.2): "stingray,
which is flat and round" asks for what the words "stingray" are aligned with, read in the light of the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from schemas.recipe_files import Recipe

if TYPE_CHECKING:  # it brings pyarrow, which no command line needs to be read
    from schemas.shards import DatasetCard

PromptText = Annotated[str, Field(max_length=500)]


class ClassPrompt(Recipe):
    """What to ask for one class: ``prefix + name + suffix``, joined as they are, spaces included."""

    prefix: PromptText = ""
    name: PromptText | None = None
    """What boxes of the class belong to. By default the class's own name."""
    suffix: PromptText = ""


ClassPrompts = dict[str, ClassPrompt | PromptText]
"""By the name of the class as ``dataset.json`` has it; a plain text is a phrase of which every word counts."""


@dataclass(frozen=True, slots=True)
class AskedClass:
    """The text that a class is asked by; its boxes belong to ``text[start:end]``."""

    text: str
    start: int
    end: int

    @property
    def name(self) -> str:
        """The words that boxes belong to."""
        return self.text[self.start : self.end]


def asked_by_name(class_name: str) -> AskedClass:
    """A class that is asked by its own name."""
    return AskedClass(class_name, 0, len(class_name))


def asked_classes(prompts: Mapping[str, ClassPrompt | str], classes: Iterable[str]) -> dict[str, AskedClass]:
    """What is asked for each class that has a prompt; the other classes are asked by their own names.

    ValueError where a prompt is for none of ``classes``, has an empty name, or a name that runs into what is around it.

    >>> asked_classes({"stingray": ClassPrompt(suffix=", which is flat")}, ["fish", "stingray"])["stingray"]
    AskedClass(text='stingray, which is flat', start=0, end=8)
    """
    known = set(classes)
    strange = [name for name in prompts if name not in known]
    if strange:
        raise ValueError(
            f"prompts are given for {', '.join(map(repr, strange))}, which {'is' if len(strange) == 1 else 'are'} none "
            f"of the {len(known)} classes of the dataset: {', '.join(sorted(known)[:20])}"
        )
    return {name: _asked(name, prompt) for name, prompt in prompts.items()}


def asked_of(card: DatasetCard, dataset: str, prompts: Mapping[str, ClassPrompt | str]) -> dict[str, AskedClass]:
    """:func:`asked_classes` for the classes of a dataset's card; messages name the ``dataset``. ValueError also where
    prompts are given for a dataset of captions."""
    if prompts and card.task != "detection":
        raise ValueError(
            f"prompts of dataset {dataset!r}: its captions are asked as they are; only classes of a detection dataset "
            "have prompts"
        )
    try:
        return asked_classes(prompts, card.classes)
    except ValueError as error:
        raise ValueError(f"prompts of dataset {dataset!r}: {error}") from None


def _asked(class_name: str, prompt: ClassPrompt | str) -> AskedClass:
    one = ClassPrompt(name=prompt) if isinstance(prompt, str) else prompt
    name = (class_name if one.name is None else one.name).strip()
    if not name:
        raise ValueError(
            f"the prompt of class {class_name!r} has no name; give one, or leave it out for the class's own"
        )
    prefix, suffix = one.prefix.lstrip(), one.suffix.rstrip()
    if (prefix[-1:].isalnum() and name[0].isalnum()) or (name[-1].isalnum() and suffix[:1].isalnum()):
        raise ValueError(
            f"the prompt of class {class_name!r} reads {prefix + name + suffix!r}, in which the name runs into its "
            "neighbour; end the prefix, or begin the suffix, with a space"
        )
    return AskedClass(prefix + name + suffix, len(prefix), len(prefix) + len(name))
