"""Rules for noun phrases that name nothing to draw a box around: a pure function for each, all in `DROP_RULES`.

In: a `Mention`, which is a chunk with its context. Out: True where the rule drops it.
To add a rule, write the function and give it a line in the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from engine.noun_phrases.chunks import Chunk, Tree
from engine.noun_phrases.lemmas import noun_lemma


class Mention(NamedTuple):
    """A noun phrase in its caption, in lower case; `before` and `after` are "" at the ends of the caption."""

    text: str
    head_lemma: str
    modifiers: Sequence[str]
    modifier_tags: Sequence[str]
    before: str
    after: str


Rule = Callable[[Mention], bool]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PRONOUNS = _words("""
    i me you he him she her it we us they them one ones other others another someone somebody something anyone anybody
    anything everyone everybody everything none nobody nothing who whom what which that this these those each both
    itself himself herself themselves myself yourself
""")
UNITS = _words("""
    inch foot yard mile millimeter centimeter meter metre kilometer mm cm m km in ft lb lbs pound ounce oz gram g kg ml
    liter litre px pixel dpi mp percent % degree mph hour minute second day week month year am pm o'clock dollar cent
""")
QUANTITIES = _words("""
    couple lot number bunch group variety assortment selection array piece slice bit pair type kind sort part portion
    set amount plenty dozen hundred thousand majority rest series collection
""")
PICTURES = _words("""
    photo photograph photography picture pic image view shot snapshot closeup close-up up illustration scene
""")
PLACES = _words("""
    front back top bottom side middle center centre corner edge end background foreground left right inside outside
    distance rear area beginning next
""")
PLAIN_TAGS = {"DT", "DET", "PDT", "PRP$"}
LINK = re.compile(r"://|www\.|@|\.(com|org|net|co\.\w\w|jpe?g|png|gif|html?|php)\b")
LETTER = re.compile(r"[^\W\d_]")
DIGIT = re.compile(r"\d")
MARKUP = re.compile(r"[<>{}]|&\w+;|&#\d+;")


def is_pronoun(mention: Mention) -> bool:
    """ "someone", "the other one": the noun that they stand for is elsewhere."""
    return mention.head_lemma in PRONOUNS


def is_existential_there(mention: Mention) -> bool:
    """The "there" of "there is a dog", if a tagger takes it for a noun."""
    return mention.head_lemma in ("there", "here")


def is_unit_of_measure(mention: Mention) -> bool:
    """ "10 inches", "5 km": a number and a unit."""
    return mention.head_lemma in UNITS and (
        "CD" in mention.modifier_tags or any(DIGIT.match(word) for word in mention.modifiers)
    )


def is_quantity(mention: Mention) -> bool:
    """ "a couple of", "a piece of": the thing itself follows, with a phrase of its own."""
    return mention.after == "of" and mention.head_lemma in QUANTITIES


def is_picture_word(mention: Mention) -> bool:
    """ "a photo of", "posing for a picture", "stock photo": the image itself, whose box would be the whole area."""
    if mention.head_lemma not in PICTURES:
        return False
    told = mention.after in ("of", "showing", "shows") or mention.before == "for"
    return told or any(word.lower() in ("stock", "thumbnail") for word in mention.modifiers)


def is_place_word(mention: Mention) -> bool:
    """ "in front", "on top of", "in the background"; but "a pink top" and "the city center" are things."""
    if mention.head_lemma not in PLACES or not mention.before:
        return False
    return all(tag in PLAIN_TAGS for tag in mention.modifier_tags)


def is_without_letters(mention: Mention) -> bool:
    """Emoji, numbers and stray symbols that a tagger takes for a noun ("stock photo #39050545")."""
    return LETTER.search(mention.head_lemma) is None


def is_link_or_markup(mention: Mention) -> bool:
    """Addresses, file names and HTML, which are common in raw alt texts."""
    return LINK.search(mention.text) is not None or MARKUP.search(mention.text) is not None


DROP_RULES: dict[str, Rule] = {
    "pronoun": is_pronoun,
    "existential_there": is_existential_there,
    "unit_of_measure": is_unit_of_measure,
    "quantity": is_quantity,
    "picture_word": is_picture_word,
    "place_word": is_place_word,
    "without_letters": is_without_letters,
    "link_or_markup": is_link_or_markup,
}


def dropping_rule(mention: Mention) -> str | None:
    """Name the first rule that drops a mention; None where it is kept."""
    for name, drops in DROP_RULES.items():
        if drops(mention):
            return name
    return None


def mention_of(tree: Tree, chunk: Chunk) -> Mention:
    """The chunk's words, with its neighbours in the tree."""
    start, end, head = chunk
    return Mention(
        text=" ".join(tree.words[start:end]).lower(),
        head_lemma=noun_lemma(tree.words[head], plural=tree.tags[head] not in ("NN", "NNP")),
        modifiers=tree.words[start:head],
        modifier_tags=tree.tags[start:head],
        before=tree.words[start - 1].lower() if start > 0 else "",
        after=tree.words[end].lower() if end < len(tree.words) else "",
    )
