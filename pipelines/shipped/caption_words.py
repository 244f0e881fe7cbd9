"""Put the words of captions into treebank sentences, leaving their trees as they are.

In: a `Sentence`. Out: the same tree with some verbs and nouns exchanged for words of the same tag that captions use and
a web treebank hardly has ("sits", "surfing", "skateboard"); without them a tagger takes "a man sits" for two nouns. The
lists were written by hand, from the mistakes that a parser trained without them made on development captions.
"""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

from pipelines.shipped.treebank import Sentence

# base, third person, -ing form; a verb keeps its kind: with an object, or without.
TRANSITIVE = """
ride rides riding / hold holds holding / wear wears wearing / eat eats eating / throw throws throwing
fly flies flying / catch catches catching / cut cuts cutting / watch watches watching / carry carries carrying
hit hits hitting / swing swings swinging / pull pulls pulling / push pushes pushing / play plays playing
use uses using / brush brushes brushing / chase chases chasing / cover covers covering / lead leads leading
read reads reading / feed feeds feeding / drink drinks drinking / surf surfs surfing / face faces facing
cross crosses crossing / block blocks blocking
"""
INTRANSITIVE = """
sit sits sitting / stand stands standing / walk walks walking / lie lies lying / lay lays laying
run runs running / jump jumps jumping / look looks looking / lean leans leaning / fly flies flying
wait waits waiting / pose poses posing / surf surfs surfing / ski skis skiing / graze grazes grazing
rest rests resting / swim swims swimming / ride rides riding / smile smiles smiling / perch perches perching
skate skates skating / sleep sleeps sleeping / hang hangs hanging / float floats floating / drive drives driving
play plays playing / kneel kneels kneeling / gather gathers gathering
"""
PARTICIPLES = """
parked covered seated filled topped displayed lined placed dressed decorated painted loaded stacked hung tied gathered
"""
# singular, plural
THINGS = """
man men / woman women / person people / boy boys / girl girls / child children / dog dogs / cat cats
horse horses / elephant elephants / giraffe giraffes / zebra zebras / bear bears / sheep sheep / cow cows
bird birds / banana bananas / apple apples / orange oranges / pizza pizzas / cake cakes / sandwich sandwiches
surfboard surfboards / remote remotes / skateboard skateboards / snowboard snowboards / ski skis / kite kites
frisbee frisbees / racket rackets / bat bats / umbrella umbrellas / tie ties / hat hats / bench benches
sign signs / clock clocks / train trains / bus buses / motorcycle motorcycles / bicycle bicycles
airplane airplanes / boat boats / laptop laptops / phone phones / sink sinks / toilet toilets / oven ovens
couch couches / table tables / plate plates / vase vases / player players / wave waves / skier skiers
surfer surfers / skateboarder skateboarders / tree trees / building buildings / slope slopes / fence fences
"""
COMPOUNDS = """
stop sign / fire hydrant / traffic light / tennis racket / baseball bat / teddy bear / cell phone / street sign
parking meter / wine glass / train station / clock tower / tennis court / baseball player / snow slope
bus stop / city street / kitchen counter / computer keyboard / dining table / surf board / skate park
ski slope / coffee cup
"""


def _rows(text: str) -> list[tuple[str, ...]]:
    return [tuple(row.split()) for row in text.replace("\n", " / ").split(" / ") if row.strip()]


def _forms(table: str) -> dict[str, list[str]]:
    base, third, ing = zip(*_rows(table), strict=True)
    return {"VB": list(base), "VBP": list(base), "VBZ": list(third), "VBG": list(ing)}


_TRANSITIVE, _INTRANSITIVE = _forms(TRANSITIVE), _forms(INTRANSITIVE)
_PARTICIPLES = PARTICIPLES.split()
_SINGULAR, _PLURAL = (list(column) for column in zip(*_rows(THINGS), strict=True))
_COMPOUNDS = _rows(COMPOUNDS)


def with_caption_words(sentence: Sentence, rng: random.Random, exchange_rate: float) -> Sentence:
    """Exchange `exchange_rate` of the full verbs and common nouns; all other words, tags and arcs stay."""
    words = list(sentence.words)
    parts: dict[int, list[int]] = {}  # head of a compound: its parts
    for word, arc in enumerate(sentence.arcs):
        if arc == "compound":
            parts.setdefault(sentence.heads[word], []).append(word)
    for word in range(len(words)):
        if rng.random() < exchange_rate:
            _exchange(sentence, words, word, parts.get(word, []), rng)
    words = [_cased(new, like=old) for old, new in zip(sentence.words, words, strict=True)]
    return replace(sentence, words=tuple(_agreeing_articles(words)))


def _exchange(sentence: Sentence, words: list[str], word: int, parts: list[int], rng: random.Random) -> None:
    tag, arc = sentence.tags[word], sentence.arcs[word]
    if tag == "NN" and len(parts) == 1 and sentence.tags[parts[0]] == "NN" and parts[0] == word - 1:
        words[word - 1], words[word] = rng.choice(_COMPOUNDS)
    elif tag in ("NN", "NNS") and not parts and arc not in ("compound", "fixed", "goeswith"):
        words[word] = rng.choice(_SINGULAR if tag == "NN" else _PLURAL)
    elif tag == "VBN" and arc in ("acl", "amod", "ROOT", "acl:relcl"):
        words[word] = rng.choice(_PARTICIPLES)
    elif tag in _TRANSITIVE and not arc.startswith(("aux", "cop", "amod", "compound")):
        has_object = any(
            above == word and label == "obj" for above, label in zip(sentence.heads, sentence.arcs, strict=True)
        )
        words[word] = rng.choice((_TRANSITIVE if has_object else _INTRANSITIVE)[tag])


def _cased(word: str, like: str) -> str:
    return word[0].upper() + word[1:] if like[0].isupper() else word


def _agreeing_articles(words: list[str]) -> list[str]:
    """Correct "a" and "an" to agree with the letter that follows."""
    agreed = list(words)
    for i, (word, following) in enumerate(pairwise(words)):
        if word.lower() in ("a", "an"):
            agreed[i] = word[0] + ("n" if following[0].lower() in "aeio" else "")
    return agreed
