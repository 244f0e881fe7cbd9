"""Captions of staged scenes, with the exact spans of their phrases: lists, sentences, alt texts, tags, counts.

Phrases are base noun phrases, as the caption parser gives them: determiner, adjectives, noun. A phrase has as many
attributes as it needs to name its group and no other thing in the picture, and sometimes more.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from engine.noun_phrases.lemmas import noun_lemma
from engine.sources.scenes.kinds import KINDS, plural
from engine.sources.scenes.palette import COLOURS, TEXTURES, WORDS
from engine.sources.scenes.plan import Group, Look, Relation
from engine.sources.scenes.stage import StagedScene
from schemas.records import Phrase

_NUMBERS = {2: ("two", "two", "2"), 3: ("three", "three", "3", "several")}
_PICTURES = ("drawing", "picture", "illustration", "image", "cartoon", "photo", "painting")
_OPENINGS = (
    "There is ",
    "There is ",
    "There is ",
    "This picture shows ",
    "The picture shows ",
    "We see ",
    "Here is ",
    "",
)
_TAILS = (" | clip art", " - stock illustration", ", isolated", " (vector)", " #12", " for kids", "!")
_SYNONYMS = {
    "on": ("on", "on top of", "sitting on", "standing on"),
    "behind": ("behind",),
    "in front of": ("in front of",),
    "next to": ("next to", "beside", "near", "by"),
    "above": ("above", "over"),
    "below": ("below", "under", "beneath"),
    "left of": ("left of", "to the left of", "on the left of"),
    "right of": ("right of", "to the right of", "on the right of"),
}


class _Writer:
    """Writes a caption of ``scene``, and keeps the spans of the phrases in it; ``names`` are words that replace the
    usual ones."""

    def __init__(self, scene: StagedScene, rng: random.Random, names: Mapping[str, str]) -> None:
        self.scene, self.rng = scene, rng
        self._names = names
        self.text = ""
        self.spans: list[tuple[int, int, str, int]] = []  # start, end, head lemma, group

    def write(self, text: str) -> None:
        self.text += text

    def name(self, number: int, determiner: str, *, numeral: bool = True) -> None:
        """Write the phrase of a group. ``determiner``: "a" also means a number or "some"; "" means none."""
        group = self.scene.groups[number]
        noun, adjectives = _describe(self.scene, number, self.rng, self._names)
        singular = _singular(group)
        words = [*adjectives, noun if singular or group.look.kind.mass else plural(noun)]
        if determiner == "the" and singular:
            words.insert(0, "the")
        elif group.count > 1 and numeral and (determiner or self.rng.random() < 0.6):
            words.insert(0, self.rng.choice(_NUMBERS[group.count]))
        elif determiner == "a":
            article = "an" if words[0][0] in "aeiou" else "a"
            words.insert(0, article if singular else "some")
        start, head_lemma = len(self.text), noun_lemma(noun.split(" ")[-1], plural=group.look.kind.mass)
        self.write(" ".join(words))
        self.spans.append((start, len(self.text), head_lemma, number))

    def name_all(self, numbers: Sequence[int], determiner: str) -> None:
        """Write the phrases of some groups, with commas and "and"."""
        last = self.rng.choice((" and ", ", and ")) if len(numbers) > 2 else " and "
        for place, number in enumerate(numbers):
            if place:
                self.write(last if place == len(numbers) - 1 else ", ")
            self.name(number, determiner)


def check_names(names: Mapping[str, str]) -> None:
    """Raise ValueError where ``names`` rename something that the scenes world does not have, or use a word of it."""
    taken = {word for kind in KINDS.values() for word in kind.names} | {*COLOURS, *TEXTURES}
    taken |= {word for words in WORDS.values() for word in words}
    for usual, word in names.items():
        if usual not in KINDS and usual not in COLOURS and usual not in TEXTURES:
            raise ValueError(f"names: the scenes world has no kind, colour or texture {usual!r} to give a word to")
        if word in taken or not (word.isascii() and word.isalpha() and word.islower()):
            raise ValueError(f"names: wanted a lower-case word of its own for {usual!r}, not {word!r}")
        taken.add(word)


def write_caption(
    scene: StagedScene, rng: random.Random, names: Mapping[str, str] | None = None
) -> tuple[str, tuple[Phrase, ...], tuple[int, ...]]:
    """The caption, its phrases in order of their start, and the group that each phrase means.

    ``names`` are words that are used for kinds, colours and textures in place of the usual ones. A scene in which no
    named group found a place gives an empty caption without phrases.
    """
    named = [number for number, group in enumerate(scene.groups) if group.named and group.count]
    if not named:
        return "", (), ()
    rng.shuffle(named)
    writer = _Writer(scene, rng, names or {})
    if scene.side is not None:
        _write_sided(writer, scene.side, named)
    elif scene.relation is not None:
        _write_relation(writer, scene.relation, named)
    else:
        styles = (_write_list, _write_sentence, _write_alt_text, _write_tags)
        rng.choices(styles, weights=(3, 4, 4, 2))[0](writer, named)
    if rng.random() < 0.05 and not writer.text.endswith("."):
        writer.write(rng.choice(_TAILS))
    caption = writer.text
    if rng.random() < 0.55:
        caption = caption[0].upper() + caption[1:]
    phrases = tuple(Phrase(caption[start:end], start, end, lemma) for start, end, lemma, _ in writer.spans)
    return caption, phrases, tuple(group for *_, group in writer.spans)


# ------------------------------------------------------------------------------------------------------------ styles


def _write_list(writer: _Writer, named: Sequence[int]) -> None:
    writer.name_all(named, writer.rng.choice(("a", "a", "")))


def _write_sentence(writer: _Writer, named: Sequence[int]) -> None:
    opening = writer.rng.choice(_OPENINGS)
    writer.write(opening if _singular(writer.scene.groups[named[0]]) else opening.replace(" is ", " are "))
    writer.name_all(named, "a")
    writer.write(writer.rng.choice((".", ".", "", "." if "picture" in opening else " in the picture.")))


def _write_alt_text(writer: _Writer, named: Sequence[int]) -> None:
    rng = writer.rng
    determiner = rng.choice(("a", ""))
    if rng.random() < 0.55:
        picture = rng.choice(_PICTURES)
        writer.write(f"{rng.choice(('', 'an ' if picture[0] == 'i' else 'a '))}{picture} of ")
    writer.name(named[0], determiner)
    if len(named) > 1:
        writer.write(rng.choice((" with ", " and ", " with ")))
        writer.name_all(named[1:], determiner)


def _write_tags(writer: _Writer, named: Sequence[int]) -> None:
    """Names only, as in a detection prompt or a keyword list."""
    separator = writer.rng.choice((". ", ", ", " . ", "; "))
    for place, number in enumerate(named):
        writer.write(separator if place else "")
        writer.name(number, "", numeral=False)


def _write_relation(writer: _Writer, relation: Relation, named: Sequence[int]) -> None:
    """The subject, where it is, the object; then the other groups."""
    rng = writer.rng
    determiner = rng.choice(("a", "a", "a", "the", ""))
    rest = [number for number in named if number not in (relation.subject, relation.object)]
    if determiner and rng.random() < 0.15:
        writer.write(f"{rng.choice(_PICTURES)} of ")
    writer.name(relation.subject, determiner)
    verb = " is " if determiner and not writer.text.startswith(_PICTURES) and rng.random() < 0.4 else " "
    writer.write(f"{verb}{rng.choice(_SYNONYMS[relation.word])} ")
    writer.name(relation.object, determiner)
    if rest:
        also = ". There is also " if _singular(writer.scene.groups[rest[0]]) else ". There are also "
        writer.write(rng.choice((", ", " and ", also if determiner else ", ", ", with ")))
        writer.name_all(rest, determiner)
    writer.write(rng.choice((".", "")))


def _write_sided(writer: _Writer, side: str, named: Sequence[int]) -> None:
    """The group that has a double (number 0) is named with its side."""
    writer.name(0, "the")
    writer.write(f" on the {side}")
    rest = [number for number in named if number != 0]
    if rest:
        writer.write(" and ")
        writer.name_all(rest, "a")


# ----------------------------------------------------------------------------------------------------------- phrases


def _singular(group: Group) -> bool:
    return group.count == 1 and not group.look.kind.mass


def _describe(scene: StagedScene, number: int, rng: random.Random, names: Mapping[str, str]) -> tuple[str, list[str]]:
    """A noun and adjectives that fit no other group in the picture."""
    look = scene.groups[number].look
    others = [group.look for place, group in enumerate(scene.groups) if place != number and group.count]
    noun = look.kind.name
    if look.kind.also and rng.random() < 0.2:
        other = rng.choice(look.kind.also)
        noun = noun if any(other in look.kind.names for look in others) else other
    alike = any(noun in other.kind.names for other in others)
    adjectives = _attributes(look, rng, colour_needed=alike)
    said = [rng.choice(WORDS[word]) if word in WORDS and rng.random() < 0.4 else word for word in adjectives]
    renamed = [names.get(word, usual) for word, usual in zip(adjectives, said, strict=True)]
    return names.get(look.kind.name, noun), renamed


def _attributes(look: Look, rng: random.Random, *, colour_needed: bool) -> list[str]:
    told = []
    if look.size != "medium" and rng.random() < 0.5:
        told.append(look.size)
    if look.kind.tells_colour:
        surface = [look.colour] if colour_needed or rng.random() < 0.55 else []
        if look.texture != "plain" and rng.random() < 0.6:
            surface.insert(rng.randint(0, len(surface)), look.texture)
        told.extend(surface)
    return told
