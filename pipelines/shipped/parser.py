"""Train the caption parser that ships in `engine/parser/` (`make parser`).

In: the folder of UD English EWT (train and dev in CoNLL-U). Out: a spaCy pipeline (tok2vec, tagger, dependency parser;
no pickle inside) and its model card, a README.md that says what it is and how well it scores.
Takes about 8 minutes on one idle core; the same seed on the same kind of machine gives the same files.

Usage: python -m pipelines.shipped.parser [--treebank FOLDER] [--out engine/parser]
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import fix_random_seed, load_model_from_config, minibatch
from thinc.api import Adam, Optimizer

from engine.noun_phrases.chunks import noun_chunks
from engine.phrases import BUNDLED, tree_of
from pipelines.shipped import DATA
from pipelines.shipped.caption_words import with_caption_words
from pipelines.shipped.parser_card import write_card
from pipelines.shipped.treebank import Sentence, caption_like, read_conllu

EPOCHS = 12
FRAGMENT_RATE = 0.4  # of the sentences in each epoch are replaced by a caption-like piece of them
CAPTION_WORDS_RATE = 0.3  # of the examples have some verbs and nouns exchanged for those of captions
WORDS_PER_STEP = (400, 900)  # from the first to the last epoch
PEAK_RATE = 1.5e-3
WIDTH = 96
# All of these find the same phrases with it. By default spaCy would name the version that trains it as the oldest, and
# older ones would warn.
SPACY_VERSIONS = ">=3.8.2,<3.9.0"

_LISTENER = {"@architectures": "spacy.Tok2VecListener.v1", "width": WIDTH, "upstream": "*"}
PIPELINE: dict[str, Any] = {
    "nlp": {"lang": "en", "pipeline": ["tok2vec", "tagger", "parser"], "batch_size": 256},
    "components": {
        "tok2vec": {
            "factory": "tok2vec",
            "model": {
                "@architectures": "spacy.Tok2Vec.v2",
                "embed": {
                    "@architectures": "spacy.MultiHashEmbed.v2",
                    "width": WIDTH,
                    "attrs": ["NORM", "PREFIX", "SUFFIX", "SHAPE"],
                    "rows": [5000, 1000, 2500, 1500],
                    "include_static_vectors": False,
                },
                "encode": {
                    "@architectures": "spacy.MaxoutWindowEncoder.v2",
                    "width": WIDTH,
                    "depth": 4,
                    "window_size": 1,
                    "maxout_pieces": 3,
                },
            },
        },
        "tagger": {
            "factory": "tagger",
            "model": {"@architectures": "spacy.Tagger.v2", "nO": None, "tok2vec": _LISTENER},
        },
        "parser": {
            "factory": "parser",
            "model": {
                "@architectures": "spacy.TransitionBasedParser.v2",
                "state_type": "parser",
                "extra_state_tokens": False,
                "hidden_width": 64,
                "maxout_pieces": 2,
                "use_upper": True,
                "nO": None,
                "tok2vec": _LISTENER,
            },
        },
    },
}


def train_parser(sentences: list[Sentence], epochs: int, seed: int) -> Language:
    """Train a pipeline on treebank sentences and caption-like pieces of them; the weights kept are running averages."""
    fix_random_seed(seed)
    rng = random.Random(seed)
    nlp: Language = load_model_from_config(PIPELINE, meta={"spacy_version": SPACY_VERSIONS}, auto_fill=True)
    optimizer = Adam(PEAK_RATE, L2=0.01, grad_clip=1.0, use_averages=True)
    nlp.initialize(lambda: [_example(nlp, sentence) for sentence in sentences], sgd=optimizer)
    for epoch in range(epochs):
        started = time.perf_counter()
        losses = _train_epoch(nlp, optimizer, sentences, rng, progress=epoch / epochs, step_share=1 / epochs)
        seconds = time.perf_counter() - started
        print(
            f"epoch {epoch + 1}/{epochs}  {seconds:.0f} s  " + "  ".join(f"{k} {v:.0f}" for k, v in losses.items()),
            flush=True,
        )
    with nlp.use_params(optimizer.averages):
        weights = nlp.to_bytes(exclude=["vocab", "tokenizer"])
    return nlp.from_bytes(weights, exclude=["vocab", "tokenizer"])


def _train_epoch(
    nlp: Language,
    optimizer: Optimizer,
    sentences: list[Sentence],
    rng: random.Random,
    progress: float,
    step_share: float,
) -> dict[str, float]:
    first, last = WORDS_PER_STEP
    words_per_step = first + (last - first) * progress
    variants = (_with_some_caption_words(variant, rng) for variant in caption_like(sentences, rng, FRAGMENT_RATE))
    examples = list(_examples(nlp, variants, rng))
    batches = list(_batches(examples, words_per_step))
    losses: dict[str, float] = {}
    for number, batch in enumerate(batches):
        optimizer.learn_rate = _learn_rate(progress + step_share * number / len(batches))
        nlp.update(batch, sgd=optimizer, drop=0.1, losses=losses)
    return losses


def _with_some_caption_words(sentence: Sentence, rng: random.Random) -> Sentence:
    return with_caption_words(sentence, rng, exchange_rate=0.4) if rng.random() < CAPTION_WORDS_RATE else sentence


def _learn_rate(progress: float) -> float:
    """The learning rate: it warms up over the first 2 % of the run, then falls linearly to a fiftieth."""
    return PEAK_RATE * min(progress / 0.02 + 0.01, 1.0 - 0.98 * progress)


def _examples(nlp: Language, sentences: Iterator[Sentence], rng: random.Random) -> Iterator[Example]:
    """Make examples; one in four joins up to three sentences, so that the parser learns where a sentence ends."""
    for sentence in sentences:
        group = [sentence]
        if rng.random() < 0.25:
            group += [other for _ in range(rng.choice((1, 2))) if (other := next(sentences, None)) is not None]
        yield _example(nlp, *group)


def _example(nlp: Language, *sentences: Sentence) -> Example:
    docs = [_gold_doc(nlp, sentence) for sentence in sentences]
    gold = docs[0] if len(docs) == 1 else Doc.from_docs(docs, ensure_whitespace=True)
    assert gold is not None
    return Example(nlp.make_doc(gold.text), gold)


def _gold_doc(nlp: Language, sentence: Sentence) -> Doc:
    return Doc(
        nlp.vocab,
        words=list(sentence.words),
        spaces=list(sentence.spaces),
        tags=list(sentence.tags),
        heads=list(sentence.heads),
        deps=list(sentence.arcs),
    )


def _batches(examples: list[Example], words_per_step: float) -> Iterator[list[Example]]:
    mean_words = sum(len(example.reference) for example in examples) / len(examples)
    yield from minibatch(examples, size=max(1, round(words_per_step / mean_words)))


def parser_scores(nlp: Language, sentences: list[Sentence]) -> dict[str, float]:
    """Tag accuracy and (un)labelled attachment of whole sentences, parsed from raw text, in percent."""
    scores = nlp.evaluate([_example(nlp, sentence) for sentence in sentences])
    return {name: round(100 * scores[name], 1) for name in ("tag_acc", "dep_uas", "dep_las", "sents_f")}


def phrase_scores(nlp: Language, sentences: list[Sentence]) -> dict[str, float]:
    """Exact-span precision and recall of base noun phrases, in percent, parsed from raw text.

    The treebank marks no phrases: gold ones are what the chunk rule gives on the gold trees.
    """
    docs = [_gold_doc(nlp, sentence) for sentence in sentences]
    gold_count = found_count = hits = 0
    for gold, found in zip(docs, nlp.pipe([doc.text for doc in docs]), strict=True):
        gold_spans, found_spans = _chunk_spans(gold), _chunk_spans(found)
        gold_count, found_count = gold_count + len(gold_spans), found_count + len(found_spans)
        hits += len(gold_spans & found_spans)
    recall, precision = 100 * hits / gold_count, 100 * hits / found_count
    return {"phrase_recall": round(recall, 1), "phrase_precision": round(precision, 1)}


def _chunk_spans(doc: Doc) -> set[tuple[int, int]]:
    return {
        (doc[chunk.start].idx, doc[chunk.end - 1].idx + len(doc[chunk.end - 1])) for chunk in noun_chunks(tree_of(doc))
    }


def main() -> int:
    """Train, score and write the shipped parser."""
    arguments = argparse.ArgumentParser(description="Train the caption parser that ships in engine/parser.")
    arguments.add_argument(
        "--treebank", type=Path, default=DATA / "treebank", help="folder of UD English EWT (train and dev)"
    )
    arguments.add_argument("--out", type=Path, default=BUNDLED, help="folder to write (default: the shipped one)")
    arguments.add_argument("--epochs", type=int, default=EPOCHS)
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    train_file = options.treebank / "en_ewt-ud-train.conllu.gz"
    dev_file = options.treebank / "en_ewt-ud-dev.conllu"
    for file in (train_file, dev_file):
        if not file.is_file():
            print(
                f"make parser needs {file}: give the folder of UD English EWT with --treebank",
                file=sys.stderr,
            )
            return 2
    logging.getLogger("spacy").setLevel(logging.ERROR)  # silences its hint about lexeme tables, which we do not ship
    sentences = read_conllu(train_file)
    nlp = train_parser(sentences, options.epochs, options.seed)
    dev = read_conllu(dev_file)
    scores = parser_scores(nlp, dev) | phrase_scores(nlp, dev)
    nlp.to_disk(options.out)
    write_card(options.out, scores, options.epochs, options.seed)
    print(json.dumps(scores))
    return 0


if __name__ == "__main__":
    sys.exit(main())
