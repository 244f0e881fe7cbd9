"""The plan of a scene: which kinds, how many, in which colours, and which of them the caption will name.

In: a recipe and a random generator. Out: a :class:`Plan`. Nothing is drawn here. Two groups that could have the same
name always differ in a colour that a caption can name, except a twin, which the caption distinguishes by its side.
"""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass, replace

from engine.sources.scenes.kinds import KINDS, Kind
from engine.sources.scenes.palette import COLOURS, SIZES, TEXTURES
from schemas.recipes import ScenesSource

RELATIONS = ("on", "behind", "in front of", "next to", "above", "below", "left of", "right of")
_TRIES = 12


@dataclass(frozen=True, slots=True)
class Look:
    """How the things of a group look; ``size`` is relative to the usual size of the kind."""

    kind: Kind
    colour: str
    texture: str
    size: str

    @property
    def attributes(self) -> tuple[str, str, str]:
        """Colour, texture and size."""
        return (self.colour, self.texture, self.size)


@dataclass(frozen=True, slots=True)
class Group:
    """``count`` things of one look, named together in the caption ("two dogs") or, if not ``named``, not at all."""

    look: Look
    count: int
    named: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """Group number ``subject`` stands ``word`` group number ``object``; both have one thing."""

    subject: int
    word: str
    object: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The groups, named ones first; ``twin`` is a pair of one-thing groups of the same look, the first one named."""

    groups: tuple[Group, ...]
    relation: Relation | None
    twin: tuple[int, int] | None


def clash(first: Kind, second: Kind) -> bool:
    """Whether the own name of one kind may also be said of the other ("tree" of a pine)."""
    return first.name in second.names or second.name in first.names


def plan_scene(recipe: ScenesSource, rng: random.Random) -> Plan:
    """Draw a plan: one to four named groups, up to three things that are not named, perhaps a relation or a twin."""
    groups: list[Group] = []
    for _ in range(rng.choices((1, 2, 3, 4), weights=(2, 5, 4, 2))[0]):
        count = rng.choices((1, 2, 3), weights=(80, 13, 7))[0]
        _add(groups, recipe, rng, count=count, named=True)
    relation = _relation(groups, rng)
    twin = _twin(groups, relation, rng)
    for _ in range(rng.choices((0, 1, 2, 3), weights=(4, 4, 3, 1))[0]):
        _add(groups, recipe, rng, count=1, named=False)
    return Plan(tuple(groups), relation, twin)


def _add(groups: list[Group], recipe: ScenesSource, rng: random.Random, *, count: int, named: bool) -> None:
    """Append a group that cannot be confused with another one; nothing if chance finds none (few kinds allowed)."""
    for _ in range(_TRIES):
        again = groups and rng.random() < (0.1 if named else 0.3)
        kind = rng.choice(groups).look.kind if again else _kind(recipe, rng)
        look = _look(kind, recipe, rng)
        if look is not None and all(_distinct(look, other.look) for other in groups):
            groups.append(Group(look, 1 if kind.mass else count, named))
            return


def _distinct(look: Look, other: Look) -> bool:
    if not clash(look.kind, other.kind):
        return True
    return look.colour != other.colour and look.kind.tells_colour and other.kind.tells_colour


def _kind(recipe: ScenesSource, rng: random.Random) -> Kind:
    kinds, weights = _frequencies(recipe.kinds, recipe.exclude_kinds, recipe.zipf_exponent)
    return rng.choices(kinds, cum_weights=weights)[0]


@functools.lru_cache(maxsize=32)
def _frequencies(
    allowed: tuple[str, ...] | None, excluded: tuple[str, ...], exponent: float
) -> tuple[tuple[Kind, ...], tuple[float, ...]]:
    """The kinds and their cumulative Zipf weights. A kind keeps its rank's weight when others are left out."""
    for name in (*(allowed or ()), *excluded):
        if name not in KINDS:
            raise ValueError(f"the scenes world knows no kind {name!r}; it knows {', '.join(sorted(KINDS))}")
    kinds, weights, total = [], [], 0.0
    for rank, kind in enumerate(KINDS.values(), start=1):
        if (allowed is None or kind.name in allowed) and kind.name not in excluded:
            total += rank**-exponent
            kinds.append(kind)
            weights.append(total)
    if not kinds:
        raise ValueError("the recipe leaves no kind of thing to draw: exclude fewer kinds, or name some in `kinds`")
    return tuple(kinds), tuple(weights)


def check_attributes(recipe: ScenesSource) -> None:
    """ValueError where the recipe excludes an attribute or a combination that the scenes world does not have."""
    known = {*COLOURS, *TEXTURES, *SIZES}
    for name in recipe.exclude_attributes:
        if name not in known:
            raise ValueError(f"the scenes world knows no attribute {name!r}; it knows {', '.join(sorted(known))}")
    for name in recipe.exclude_combinations:
        attribute, _, kind = name.partition(" ")
        if attribute not in known or kind not in KINDS:
            raise ValueError(f"combination {name!r} is not an attribute and a kind of the scenes world ('red car')")
    if all(name in recipe.exclude_attributes for name in COLOURS):
        raise ValueError("the recipe leaves no colour to draw with: take some out of `exclude_attributes`")


def _look(kind: Kind, recipe: ScenesSource, rng: random.Random) -> Look | None:
    """A look that the recipe allows, half of the time in a colour natural for the kind; None if chance offers none."""
    for _ in range(_TRIES):
        natural = not kind.tells_colour or rng.random() < 0.5
        look = Look(
            kind,
            rng.choice(kind.colours if natural else tuple(COLOURS)),
            rng.choices(TEXTURES, weights=(76, 9, 8, 7))[0],
            rng.choices(SIZES, weights=(22, 56, 22))[0],
        )
        if not any(_excluded(attribute, kind, recipe) for attribute in look.attributes):
            return look
    return None


def _excluded(attribute: str, kind: Kind, recipe: ScenesSource) -> bool:
    return attribute in recipe.exclude_attributes or f"{attribute} {kind.name}" in recipe.exclude_combinations


def _relation(groups: list[Group], rng: random.Random) -> Relation | None:
    single = [number for number, group in enumerate(groups) if group.count == 1]
    if len(single) < 2 or rng.random() < 0.4:
        return None
    subject, other = rng.sample(single, 2)
    bearers = [number for number in single if groups[number].look.kind.carries is not None]
    if bearers and rng.random() < 0.7:
        other = rng.choice(bearers)
        subject = rng.choice([number for number in single if number != other])
    carries = groups[other].look.kind.carries is not None
    word = "on" if carries and rng.random() < 0.7 else rng.choice(RELATIONS[1:])
    return Relation(subject, word, other)


def _twin(groups: list[Group], relation: Relation | None, rng: random.Random) -> tuple[int, int] | None:
    """Sometimes give the single thing of a group a double that is not named; the caption then names its side."""
    if relation is not None or not groups or rng.random() > 0.1 or groups[0].count > 1:
        return None
    groups.append(replace(groups[0], named=False))
    return (0, len(groups) - 1)
