"""The worlds of ``self_training.py``: what is human, what is web, what examines, and which phrases are rare or novel.

In: a scale. Out: a :class:`World`. Scenes: the human data never draw eight of the kinds, a colour, a texture and a few
combinations; captions of the web and of the exam call them by invented words. Photos: rules in the data's DATA.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from real_data import real_data

from engine.sources.scenes.palette import WORDS
from schemas.recipes import GoldSource, ScenesSource, Source, WebDatasetSource
from schemas.shards import SamplePhrase

NOVEL_KINDS = {
    **{"rabbit": "dax", "guitar": "blicket", "umbrella": "toma", "cake": "wug"},
    **{"rocket": "fep", "teapot": "gazzer", "turtle": "koba", "castle": "tulver"},
}
NOVEL_ATTRIBUTES = {"turquoise": "chromium", "dotted": "zibbed"}
NOVEL_COMBINATIONS = (
    *("red dog", "blue cat", "green car", "pink boat", "purple chair", "black apple"),
    *("orange house", "yellow bus", "white flower", "brown ball"),
)
KNOWN_KINDS = (
    *("dog", "car", "man", "tree", "cat", "house", "woman", "ball", "chair", "bird", "table", "flower", "cup", "boat"),
    *("apple", "star", "bicycle", "cloud", "fish", "hat", "horse", "book", "bottle", "bus", "clock", "truck"),
)
GroupOf = Callable[[SamplePhrase], str]


@dataclass(frozen=True)
class World:
    """A world. ``human``, ``web`` and ``truth`` make a seed's data; ``truth`` is None if no model may learn from hidden
    boxes; ``judge`` scores pseudo-labels; ``calibration`` makes human data that no model learns from, if there are any.
    ``group_of``: the group of a phrase, given the head lemmas of the human data. ``word_of``: the novel word of a
    phrase, or ""."""

    name: str
    human: Callable[[int], list[GoldSource]]
    web: Callable[[int], Source]
    truth: Callable[[int], GoldSource] | None
    judge: str | None
    calibration: Callable[[int], GoldSource] | None
    exams: list[GoldSource]
    group_of: Callable[[Mapping[str, str]], GroupOf]
    word_of: GroupOf
    train: dict[str, Any]
    image_size: int | None
    cell_suffix: str = ""

    def examined_by(self, seed: int) -> World:
        """The same world with an exam of another seed, whose cells have ``cell_suffix`` in their names."""
        exams = [
            exam.model_copy(update={"name": f"exam-{seed}", "scenes": _reseeded(exam, seed)}) for exam in self.exams
        ]
        return replace(self, exams=exams, cell_suffix=f"-exam-{seed}")


def _reseeded(exam: GoldSource, seed: int) -> ScenesSource:
    if exam.scenes is None:
        raise SystemExit("--exam-seed: only scenes can be drawn anew")
    return exam.scenes.model_copy(update={"seed": seed})


def scenes_world(scale: float) -> World:
    """The scenes world: human data without the novel things, web and exam with them."""
    everything = partial(
        ScenesSource,
        kinds=(*KNOWN_KINDS, *NOVEL_KINDS),
        names={**NOVEL_KINDS, **NOVEL_ATTRIBUTES},
        zipf_exponent=0.0,  # what is rare is so in the human data
    )
    lacking = partial(
        ScenesSource,
        kinds=KNOWN_KINDS,
        exclude_attributes=tuple(NOVEL_ATTRIBUTES),
        exclude_combinations=NOVEL_COMBINATIONS,
    )

    def web(seed: int) -> ScenesSource:
        return everything(count=_count(2500, scale), seed=720_000 + seed)

    def human(seed: int) -> list[GoldSource]:
        drawn = lacking(count=_count(1500, scale), seed=710_000 + seed)
        return [GoldSource(name="human", format="scenes", scenes=drawn)]

    def calibration(seed: int) -> GoldSource:
        drawn = lacking(count=_count(800, scale), seed=715_000 + seed)
        return GoldSource(name="calibration", format="scenes", scenes=drawn)

    exam = everything(count=_count(1600, scale), seed=730_000)
    return World(
        name="scenes",
        human=human,
        web=web,
        truth=lambda seed: GoldSource(name="truth", format="scenes", scenes=web(seed)),
        judge=None,
        calibration=calibration,
        exams=[GoldSource(name="exam", format="scenes", scenes=exam)],
        group_of=scenes_groups,
        word_of=novel_word,
        train={"min_sizes": (128,), "max_size": 224},
        image_size=128,
    )


def _count(pictures: int, scale: float) -> int:
    """At least so many that there is something to learn from."""
    return max(8, round(pictures * scale))


def scenes_groups(heads: Mapping[str, str]) -> GroupOf:
    """What is new of a phrase: its kind, an attribute, their combination; or nothing, and then how rare its head is."""
    combinations = {(word, kind) for pair in NOVEL_COMBINATIONS for word, _, kind in [pair.partition(" ")]}
    spoken = {(said, kind) for word, kind in combinations for said in WORDS.get(word, (word,))}

    def group(phrase: SamplePhrase) -> str:
        words = set(phrase.text.lower().split())
        if phrase.head_lemma in NOVEL_KINDS.values():
            return "novel kind"
        if words & set(NOVEL_ATTRIBUTES.values()):
            return "novel attribute"
        if any(word in words and phrase.head_lemma == kind for word, kind in spoken):
            return "novel combination"
        return "rare" if heads.get(phrase.head_lemma, "unseen") in ("tail", "unseen") else "rest"

    return group


def novel_word(phrase: SamplePhrase) -> str:
    """The invented word of a phrase, its kind's before an attribute's."""
    words = phrase.text.lower().split()
    attributes = [word for word in words if word in NOVEL_ATTRIBUTES.values()]
    return phrase.head_lemma if phrase.head_lemma in NOVEL_KINDS.values() else "".join(attributes[:1])


def photos_world(scale: float) -> World:
    """400 human-annotated photos, 714 captions, 250 to examine; the hidden boxes score and are never learned from."""
    photos = real_data("photos")
    human = [
        GoldSource(name="human-phrases", format="coco-phrases", path=str(photos / "human")),
        GoldSource(name="human-detection", format="coco", path=str(photos / "human")),
    ]
    return World(
        name="photos",
        human=lambda seed: human,
        web=lambda seed: WebDatasetSource(uri=str(photos / "web")),
        truth=None,
        judge=str(photos / "web_truth.json"),
        calibration=None,
        exams=[GoldSource(name="val-phrases", format="coco-phrases", path=str(photos / "val"))],
        group_of=lambda heads: lambda phrase: heads.get(phrase.head_lemma.lower(), "unseen"),
        word_of=lambda phrase: "",
        train={"max_negatives": 12, "scale_jitter": (0.7, 1.5), "color_jitter": 0.3},
        image_size=None,
    )


WORLDS: dict[str, Callable[[float], World]] = {"scenes": scenes_world, "photos": photos_world}
