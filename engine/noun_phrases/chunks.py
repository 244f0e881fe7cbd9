"""From a tagged dependency tree to its base noun phrases: pure functions, no spaCy.

In: a `Tree` (Penn tags, UD or ClearNLP arcs). Out: `Chunk`s, half-open ranges of words, in text order, disjoint.
A chunk is a base noun phrase: the head noun with its determiner, possessor, numbers, adjectives and compounds, without
following clauses and prepositional phrases. So coordination ("a dog and two cats") gives two chunks, and a possessor
stays inside ("a woman's hat" is one chunk whose head is "hat").
Sources: GLIP section 3.3 (noun phrases of web captions; `grammar_chunks` is its NLTK pattern); Kosmos-2 section 2.1
(GRIT's referring expressions).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Tree:
    """The parse of a caption. For each word: `heads` has the index of its head (a root is its own head), `arcs` the
    label of the arc to its head, and `spaces` whether a space follows it."""

    words: Sequence[str]
    spaces: Sequence[bool]
    tags: Sequence[str]
    heads: Sequence[int]
    arcs: Sequence[str]


class Chunk(NamedTuple):
    """Words `[start, end)` of a tree, and the index of the head noun among them."""

    start: int
    end: int
    head: int


# Each table has the labels of both sets; a subtype counts as its main label ("nmod:poss" as "nmod").
LEFT_ARCS = {"det", "predet", "amod", "nummod", "quantmod", "compound", "nn", "poss", "nmod", "flat", "goeswith"}
RIGHT_ARCS = {"flat", "goeswith", "nummod"}
# These belong to a phrase between allowed words ("a very close view", "a big, red dog"), but not at its edge.
BRIDGE_ARCS = {"punct", "advmod", "cc", "conj", "acl", "dep", "obl", "npadvmod"}
NAME_ARCS = {"flat", "goeswith"}
EXPRESSION_ARCS = {"prep", "nmod", "acl", "relcl", "obl"}
MAX_DEPTH = 8  # arcs climbed from a word to the head of its phrase; deeper nesting is not a base noun phrase

NOUN_TAGS = {"NN", "NNS", "NNP", "NNPS", "NOUN", "PROPN"}
DETERMINER_TAGS = {"DT", "DET"}
# Prepositions and finite verbs are never inside a base noun phrase, whatever their arc is.
BORDER_TAGS = {"IN", "TO", "MD", "VBZ", "VBP", "VBD", "ADP", "AUX"}
# Words with these tags can be inside, and never come first.
NEVER_FIRST_TAGS = {"CC", "RP", "POS", "CCONJ", "PART", "PUNCT", "HYPH", ",", ".", ":", "``", "''", "-LRB-", "-RRB-"}
ARTICLES = {"a", "an", "the", "this", "that", "these", "those"}


def noun_chunks(tree: Tree) -> list[Chunk]:
    """Find the base noun phrases, in text order. Right to left, so that a compound's head takes its modifiers first."""
    chunks: list[Chunk] = []
    limit = len(tree.words)
    for head in range(limit - 1, -1, -1):
        if head < limit and _is_chunk_head(tree, head):
            chunk = _chunk_around(tree, head, limit)
            chunks.append(chunk)
            limit = chunk.start
    return chunks[::-1]


def _is_chunk_head(tree: Tree, word: int) -> bool:
    """Whether a word is a noun, but not a later part of a name ("Barack Obama"), which in UD depends on the first."""
    if tree.tags[word] not in NOUN_TAGS:
        return False
    above = tree.heads[word]
    return not (above < word and main_label(tree.arcs[word]) in NAME_ARCS and tree.tags[above] in NOUN_TAGS)


def _chunk_around(tree: Tree, head: int, limit: int) -> Chunk:
    start = _first_word(tree, head)
    while start < head and tree.tags[start] in NEVER_FIRST_TAGS:
        start += 1
    if start > 0 and _is_article(tree, start - 1) and not _is_article(tree, start):
        start -= 1  # an article belongs to the words after it, even if a wrong arc ties it elsewhere
    return Chunk(start, _last_word(tree, head, limit) + 1, head)


def _is_article(tree: Tree, word: int) -> bool:
    return tree.words[word].lower() in ARTICLES and tree.tags[word] in DETERMINER_TAGS


def _first_word(tree: Tree, head: int) -> int:
    first = head
    for word in range(head - 1, -1, -1):
        if _is_hyphened(tree, word):
            first = word
            continue
        top = _child_above(tree, word, head)
        if top is None or top > head or _is_border(tree, word):
            break
        if main_label(tree.arcs[top]) in LEFT_ARCS:
            first = word
            if tree.words[word].lower() in ARTICLES and "poss" not in tree.arcs[top]:
                break  # a base noun phrase has one article and begins with it
        elif main_label(tree.arcs[top]) not in BRIDGE_ARCS:
            break
    return first


def _last_word(tree: Tree, head: int, limit: int) -> int:
    last = head
    for word in range(head + 1, limit):
        top = _child_above(tree, word, head)
        label = None if top is None else main_label(tree.arcs[top])
        if label in RIGHT_ARCS:
            last = word
        elif label != "punct":
            break
    return last


def _is_border(tree: Tree, word: int) -> bool:
    """Whether no noun phrase can contain `word` in its middle, although parsers make compounds that do.

    Besides words with `BORDER_TAGS` these are, right after a noun, the -ing form of "a person riding skis" and the
    comma of "a sink, tub and mirror".
    """
    if tree.tags[word] in BORDER_TAGS:
        return True
    return (tree.tags[word] == "VBG" or tree.words[word] == ",") and word > 0 and tree.tags[word - 1] in NOUN_TAGS


def _is_hyphened(tree: Tree, word: int) -> bool:
    """Whether `word` is the "T" or the "-" of "T-shirt": one word to a reader, whatever the arcs are."""
    hyphen = word if tree.words[word] == "-" else word + 1
    inside = 0 < hyphen < len(tree.words) - 1 and tree.words[hyphen] == "-"
    return inside and not tree.spaces[hyphen - 1] and not tree.spaces[hyphen]


def _child_above(tree: Tree, word: int, head: int) -> int | None:
    """Climb from `word` to its ancestor that is a child of `head`; None where `word` is not below `head`."""
    for _ in range(MAX_DEPTH):
        above = tree.heads[word]
        if above == head:
            return word
        if above == word:
            return None
        word = above
    return None


def main_label(arc: str) -> str:
    """Strip a UD subtype: "acl:relcl" gives "acl"."""
    return arc.partition(":")[0]


def grammar_chunks(tree: Tree) -> list[Chunk]:
    """Find chunks by the GLIP paper's pattern over tags alone, `NP: {<DT>?<JJ.*>*<NN.*>+}`; head: the last noun."""
    codes = "".join(_tag_code(tag) for tag in tree.tags)
    return [Chunk(match.start(), match.end(), match.end() - 1) for match in re.finditer("D?J*N+", codes)]


# A letter for each tag, so that a pattern of tags is one of characters; universal tags if there are no Penn tags.
TAG_CODES = {"DT": "D", "DET": "D", "ADJ": "J", "NOUN": "N", "PROPN": "N"}


def _tag_code(tag: str) -> str:
    return TAG_CODES.get(tag) or {"JJ": "J", "NN": "N"}.get(tag[:2], "x")


def extend_to_expression(tree: Tree, chunk: Chunk) -> Chunk:
    """Extend a chunk by the words that describe its head: "a dog" becomes "a dog in a field of flowers" (GRIT).

    A coordinated chunk stays as it is, as in GRIT, since the following words may describe any of its parts.
    """
    if any(main_label(arc) == "conj" for arc, above in zip(tree.arcs, tree.heads, strict=True) if above == chunk.head):
        return chunk
    end = chunk.end
    for word in range(chunk.end, len(tree.words)):
        top = _child_above(tree, word, chunk.head)
        if top is None or main_label(tree.arcs[top]) not in EXPRESSION_ARCS:
            break
        if main_label(tree.arcs[word]) != "punct":
            end = word + 1
    return chunk._replace(end=end)
