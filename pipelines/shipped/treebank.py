"""Universal Dependencies sentences, and the caption-like sentences that can be made from them.

In: a CoNLL-U file (plain or gzip). Out: `Sentence` records, and variants of them that look like captions.
Why variants: the treebank holds e-mails, reviews and news, whose sentences have a finite verb, a capital and a full
stop; captions are often a bare noun phrase ("a man riding a wave on a surfboard"). Every variant is cut from a tree
made by people, so its tags and arcs stay gold.
Format: https://universaldependencies.org/format.html
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

# Arcs between a clause and words outside of it; and those between a noun and words outside of its phrase, or that make
# the noun a clause ("she is a doctor").
CLAUSE_ARCS = {"cc", "mark", "parataxis", "discourse", "vocative", "punct"}
OUTWARD_ARCS = CLAUSE_ARCS | {"case", "cop", "nsubj", "aux", "advcl", "expl"}
MAX_FRAGMENT_WORDS = 25


@dataclass(frozen=True)
class Sentence:
    """One tree: a word's head is an index into the same sentence, and the root is its own head with the arc "ROOT"."""

    words: tuple[str, ...]
    spaces: tuple[bool, ...]
    tags: tuple[str, ...]
    lemmas: tuple[str, ...]
    heads: tuple[int, ...]
    arcs: tuple[str, ...]

    def children(self, head: int) -> list[int]:
        """Indices of the words whose head is `head`."""
        return [i for i, h in enumerate(self.heads) if h == head and i != head]

    def subtree(self, head: int, without: frozenset[int]) -> list[int]:
        """Indices of `head` and all words below it, in order, except the children in `without` and words below
        those."""
        found, stack = {head}, [head]
        while stack:
            below = [child for child in self.children(stack.pop()) if child not in without]
            found.update(below)
            stack.extend(below)
        return sorted(found)


def read_conllu(path: Path) -> list[Sentence]:
    """Read every sentence of a CoNLL-U file; ellipsis nodes are left out, and the parts of "don't" stay glued."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        blocks = file.read().split("\n\n")
    rows = ([line.split("\t") for line in block.splitlines() if not line.startswith("#")] for block in blocks)
    return [_sentence(block) for block in rows if block]


def _sentence(rows: list[list[str]]) -> Sentence:
    words = [row for row in rows if row[0].isdigit()]
    spaces = ["SpaceAfter=No" not in row[9] for row in words]
    for row in rows:  # "3-4  don't": no space inside; after its last word as the range row says
        if "-" in row[0]:
            first, last = (int(part) - 1 for part in row[0].split("-"))
            spaces[first:last] = [False] * (last - first)
            spaces[last] = "SpaceAfter=No" not in row[9]
    heads = [int(row[6]) - 1 for row in words]
    return Sentence(
        words=tuple(row[1] for row in words),
        spaces=tuple(spaces),
        tags=tuple(row[4] for row in words),
        lemmas=tuple(row[2] for row in words),
        heads=tuple(i if head < 0 else head for i, head in enumerate(heads)),
        arcs=tuple("ROOT" if head < 0 else row[7] for row, head in zip(words, heads, strict=True)),
    )


def caption_fragments(sentence: Sentence) -> list[Sentence]:
    """Cut the caption-like pieces out of a sentence: noun phrases with all words below, and clauses without "is"."""
    pieces = [_noun_fragment(sentence, i) for i, tag in enumerate(sentence.tags) if tag in ("NN", "NNS", "NNP")]
    pieces += [_participle_clause(sentence, i) for i, tag in enumerate(sentence.tags) if tag in ("VBG", "VBN")]
    return [piece for piece in pieces if piece is not None and 3 <= len(piece.words) <= MAX_FRAGMENT_WORDS]


def caption_style(sentence: Sentence, rng: random.Random) -> Sentence:
    """Write a sentence as captions are written: with or without capitals, with or without its full stop."""
    if rng.random() < 0.4 and sentence.words[-1] == "." and len(sentence.words) > 1:
        sentence = _pick(sentence, list(range(len(sentence.words) - 1)), sentence.heads, sentence.arcs)
    if rng.random() < 0.3:
        return replace(sentence, words=tuple(word.lower() for word in sentence.words))
    return sentence


def caption_like(sentences: list[Sentence], rng: random.Random, fragment_rate: float) -> Iterator[Sentence]:
    """Yield all sentences once, in a random order and style; `fragment_rate` of them as a piece instead of whole."""
    for sentence in rng.sample(sentences, len(sentences)):
        if rng.random() >= fragment_rate:
            yield caption_style(sentence, rng)
            continue
        fragments = caption_fragments(sentence)
        if fragments:
            yield caption_style(_with_full_stop(rng.choice(fragments), rng), rng)


def _noun_fragment(sentence: Sentence, head: int) -> Sentence | None:
    outside = frozenset(c for c in sentence.children(head) if sentence.arcs[c].split(":")[0] in OUTWARD_ARCS)
    kept = sentence.subtree(head, outside)
    if kept != list(range(kept[0], kept[-1] + 1)):
        return None
    return _pick(sentence, kept, sentence.heads, sentence.arcs, root=head)


def _participle_clause(sentence: Sentence, verb: int) -> Sentence | None:
    """Turn "a man is riding a wave" into "a man riding a wave", and "a car is parked" into "a car parked"."""
    subject_arc = "nsubj" if sentence.tags[verb] == "VBG" else "nsubj:pass"
    children = sentence.children(verb)
    subjects = [c for c in children if sentence.arcs[c] == subject_arc and sentence.tags[c].startswith("NN")]
    auxiliaries = [c for c in children if sentence.arcs[c].startswith("aux")]
    if len(subjects) != 1 or subjects[0] > verb or {sentence.lemmas[c] for c in auxiliaries} != {"be"}:
        return None
    outside = [c for c in children if sentence.arcs[c].split(":")[0] in CLAUSE_ARCS]
    kept = sentence.subtree(verb, frozenset(outside + auxiliaries))
    gaps = set(range(kept[0], kept[-1] + 1)) - set(kept)
    if not gaps <= set(auxiliaries):
        return None
    heads, arcs = list(sentence.heads), list(sentence.arcs)
    heads[verb], arcs[verb] = subjects[0], "acl"
    return _pick(sentence, kept, tuple(heads), tuple(arcs), root=subjects[0])


def _pick(
    sentence: Sentence, kept: list[int], heads: tuple[int, ...], arcs: tuple[str, ...], root: int | None = None
) -> Sentence:
    """Build the sentence of the words in `kept`. `root`, if given, becomes the root; all other heads must be kept."""
    place = {old: new for new, old in enumerate(kept)}
    return Sentence(
        words=tuple(sentence.words[i] for i in kept),
        spaces=tuple(sentence.spaces[i] for i in kept),
        tags=tuple(sentence.tags[i] for i in kept),
        lemmas=tuple(sentence.lemmas[i] for i in kept),
        heads=tuple(place[i if i == root else heads[i]] for i in kept),
        arcs=tuple("ROOT" if i == root else arcs[i] for i in kept),
    )


def _with_full_stop(fragment: Sentence, rng: random.Random) -> Sentence:
    """Begin a piece with a capital and end it with a full stop, perhaps after a space, as in Conceptual Captions."""
    first = fragment.words[0]
    return Sentence(
        words=(first[0].upper() + first[1:], *fragment.words[1:], "."),
        spaces=(*fragment.spaces[:-1], rng.random() < 0.3, True),
        tags=(*fragment.tags, "."),
        lemmas=(*fragment.lemmas, "."),
        heads=(*fragment.heads, fragment.arcs.index("ROOT")),
        arcs=(*fragment.arcs, "punct"),
    )
