"""Caption to noun phrases with character spans: the only file of the engine that imports spaCy.

In: captions as stored. Out: a tuple of `Phrase` per caption, with `caption[start:end] == text` for each.
The tree comes from a spaCy pipeline (the one that ships in `engine/parser`, or any other); which words make a phrase is
`engine.noun_phrases.chunks`, which phrases are dropped is `engine.noun_phrases.rules`.
Sources: GLIP section 3.3 (phrases of web captions), Kosmos-2 section 2.1 (GRIT's expressions).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import spacy
from spacy.language import Language
from spacy.tokens import Doc

from engine.noun_phrases.chunks import Chunk, Tree, extend_to_expression, grammar_chunks, noun_chunks
from engine.noun_phrases.lemmas import CLINGING
from engine.noun_phrases.rules import dropping_rule, mention_of
from schemas.recipes import PhrasesRecipe
from schemas.records import Phrase, Reject

BUNDLED = Path(__file__).parent / "parser"
STAGE = "phrases"
MAX_NEW_STRINGS = 500_000  # about 200 MB of words, affixes and shapes
# What other pipelines carry and phrases do not need. The parser goes too where tags alone are used.
UNUSED_COMPONENTS = ["ner", "lemmatizer", "senter", "entity_ruler", "entity_linker", "textcat", "textcat_multilabel"]
# Alt texts of the web have HTML in them: its own elements (other words in angle brackets, such as CC12M's <PERSON>, are
# of the caption), and references to characters.
_ELEMENTS = (
    "a|b|big|br|center|code|div|em|font|h[1-6]|hr|i|img|li|ol|p|pre|s|script|small|span|strong|style|sub|sup|"
    "table|td|tr|u|ul"
)
_MARKUP = rf"</?(?:{_ELEMENTS})\b[^<>]{{0,200}}>|&(?:\#\d{{1,7}}|\#x[0-9a-f]{{1,6}}|[a-z]{{2,10}});"
# What stands in a word and is not seen: soft hyphens, spaces of no width, marks of the direction of writing.
_UNSEEN = r"\xad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069"
_BLANK = r"[\s\x00-\x1f\x7f-\x9f\ufeff]"
# Runs of white space and control characters (NUL among them), with markup or without; what is not seen; and lone
# surrogates, which spaCy cannot encode.
UNREADABLE = re.compile(
    rf"(?P<markup>{_BLANK}*(?:{_MARKUP})(?:{_BLANK}|{_MARKUP})*)|(?P<blank>{_BLANK}+)|[{_UNSEEN}]+"
    r"|(?P<half>[\ud800-\udfff])",
    re.IGNORECASE,
)
# What the parser reads instead, by the name of the group: markup parts what stands beside it.
READ_AS = {"markup": " . ", "blank": " ", "half": "\ufffd"}
NEEDS_CLEANING = re.compile(
    rf"[\x00-\x1f\x7f-\x9f\xa0\ufeff\ud800-\udfff\u2000-\u200a\u2028\u2029{_UNSEEN}]|\s\s|^\s|{_MARKUP}", re.IGNORECASE
)


class PhraseParser:
    """Opened once per worker: holds a spaCy pipeline and turns captions into phrases."""

    def __init__(self, recipe: PhrasesRecipe) -> None:
        """Open the recipe's pipeline. Raises ValueError where it cannot be opened or gives no tags or no tree."""
        self._recipe = recipe
        self._with_parser = recipe.method == "spacy" or recipe.expressions
        self._nlp = open_pipeline(recipe.pipeline, self._with_parser)
        self._known_strings = len(self._nlp.vocab.strings)

    def parse(self, captions: Sequence[str]) -> list[tuple[Phrase, ...]]:
        """Find the phrases of each caption, in order of their start.

        Same order and length as `captions`; an empty tuple where there is no phrase, and for a blank or over-long one.
        """
        self._forget_words()
        readable = [readable_text(caption) if self.is_parsable(caption) else EMPTY for caption in captions]
        docs = self._nlp.pipe([text for text, _ in readable], batch_size=self._recipe.batch_size)
        return [
            self._phrases(doc, caption, offsets)
            for doc, caption, (_, offsets) in zip(docs, captions, readable, strict=True)
        ]

    def _forget_words(self) -> None:
        """Open the pipeline anew once it holds `MAX_NEW_STRINGS`: spaCy keeps every word it sees, and the web has many.

        A memory zone around each call would do the same, but costs 6 % of the time, since its word cache starts empty.
        """
        if len(self._nlp.vocab.strings) - self._known_strings > MAX_NEW_STRINGS:
            self._nlp = open_pipeline(self._recipe.pipeline, self._with_parser)

    def is_parsable(self, caption: str) -> bool:
        """Whether a caption is neither blank nor longer than the recipe allows."""
        return len(caption) <= self._recipe.max_caption_chars and not caption.isspace() and caption != ""

    def reject(self, key: str, caption: str) -> Reject:
        """Say why a caption gave no phrase: `caption_empty`, `caption_too_long` or `no_phrase`."""
        if len(caption) > self._recipe.max_caption_chars:
            message = f"{len(caption)} characters, at most {self._recipe.max_caption_chars} (phrases.max_caption_chars)"
            return Reject(key, STAGE, "caption_too_long", message)
        if not self.is_parsable(caption):
            return Reject(key, STAGE, "caption_empty", "the caption is empty or blank")
        return Reject(key, STAGE, "no_phrase", f"no noun phrase in {caption[:200]!r}")

    def _phrases(self, doc: Doc, caption: str, offsets: Sequence[int] | None) -> tuple[Phrase, ...]:
        tree = tree_of(doc)
        chunks = grammar_chunks(tree) if self._recipe.method == "nltk-grammar" else noun_chunks(tree)
        found = []
        for chunk in chunks:
            mention = mention_of(tree, chunk)
            if dropping_rule(mention) is None:
                wide = extend_to_expression(tree, chunk) if self._recipe.expressions else chunk
                start, end = _caption_span(doc, wide, caption, offsets)
                found.append(Phrase(caption[start:end], start, end, mention.head_lemma))
        return tuple(found)


def open_pipeline(name: str, with_parser: bool = True) -> Language:
    """Open `bundled`, an installed spaCy pipeline or the folder of one. Raises ValueError saying what to do."""
    source = BUNDLED if name == "bundled" else name
    try:
        nlp = spacy.load(source, exclude=UNUSED_COMPONENTS + ([] if with_parser else ["parser"]))
    except (OSError, ValueError, ImportError) as error:
        raise ValueError(
            f"phrases.pipeline: cannot open {name!r} ({str(error).splitlines()[0]}). Wanted: 'bundled', an installed "
            "spaCy pipeline such as en_core_web_sm, or the folder of one."
        ) from error
    probe = nlp("A dog on the grass.")
    if not any(token.tag_ or token.pos_ for token in probe) or (with_parser and not probe.has_annotation("DEP")):
        raise ValueError(
            f"phrases.pipeline: {name!r} has the components {nlp.pipe_names}, wanted a tagger"
            f"{' and a dependency parser' if with_parser else ''}. Use 'bundled', or an English pipeline that has them."
        )
    return nlp


class Readable(NamedTuple):
    """A caption as the parser reads it, and the caption's offset of each character; None where they are the same."""

    text: str
    offsets: Sequence[int] | None


EMPTY = Readable("", None)


def readable_text(caption: str) -> Readable:
    """Write a caption for the parser: single spaces, no control characters, no HTML, and capitals-only captions in
    lower case.

    Words stay as they are, so spans found in the text lead back to the caption through `offsets`.
    """
    offsets = None
    text = caption
    if NEEDS_CLEANING.search(caption):
        text, offsets = _without_unreadable(caption)
    if text.isupper() and len(lowered := text.lower()) == len(text):
        text = lowered  # "A MAN IN A TRUCK": to a tagger, capitals are names
    return Readable(text, offsets)


def _without_unreadable(caption: str) -> tuple[str, list[int]]:
    pieces: list[str] = []
    offsets: list[int] = []
    position = 0
    for run in UNREADABLE.finditer(caption):
        pieces.append(caption[position : run.start()])
        offsets.extend(range(position, run.start()))
        if offsets and run.lastgroup:  # what stands before the first word is left out, and what is not seen
            pieces.append(READ_AS[run.lastgroup])
            offsets.extend([run.start()] * len(pieces[-1]))
        position = run.end()
    pieces.append(caption[position:])
    offsets.extend(range(position, len(caption)))
    return "".join(pieces), offsets


def tree_of(doc: Doc) -> Tree:
    """Take words, tags, heads and arcs out of a parsed text; universal tags where the pipeline has no finer ones."""
    rows = [(token.text, token.whitespace_ != "", token.tag_ or token.pos_, token.head.i, token.dep_) for token in doc]
    words, spaces, tags, heads, arcs = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    return Tree(words, spaces, tags, heads, arcs)


def _caption_span(doc: Doc, chunk: Chunk, caption: str, offsets: Sequence[int] | None) -> tuple[int, int]:
    """Characters of a chunk in the caption as stored, without the signs that cling to its first and last word."""
    last = doc[chunk.end - 1]
    start, end = doc[chunk.start].idx, last.idx + len(last)
    if offsets is not None:
        start, end = offsets[start], offsets[end - 1] + 1
    while end - start > 1 and caption[end - 1] in CLINGING:
        end -= 1
    while end - start > 1 and caption[start] in CLINGING:
        start += 1
    return start, end
