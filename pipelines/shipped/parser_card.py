"""The model card that ships beside the caption parser: what it is, its data and licence, its scores, the command."""

from __future__ import annotations

from pathlib import Path

CARD = """# Caption parser

An English spaCy pipeline (`tok2vec`, `tagger`, `parser`) that gives Penn Treebank tags and Universal Dependencies arcs.
`engine/phrases.py` finds noun phrases with it when a recipe has `phrases.pipeline: bundled`, the default.

- **Data**: [Universal Dependencies English EWT](https://github.com/UniversalDependencies/UD_English-EWT), train file
  (12,544 sentences of weblogs, newsgroups, e-mails, reviews and answers). In each epoch, two sentences in five are cut
  to a caption-like piece of their own tree ("a man is riding a wave" > "a man riding a wave"), and in three in ten some
  verbs and nouns are replaced by words of captions. No caption was trained on. The list of words was written by hand,
  after reading what an earlier version missed on the development captions (`photos/human`).
- **Licence**: [CC BY-SA 4.0](https://creativecommons.org/licenses/by-sa/4.0/), as the treebank; the code around it
  is Apache-2.0. Attribution: the contributors of UD English EWT, and the Linguistic Data Consortium (LDC2012T13).
- **Command**: `make parser`, which is `python -m pipelines.shipped.parser --treebank FOLDER` ({epochs} epochs, seed
  {seed}).
- **Form**: {megabytes:.1f} MB; safe to load, no pickle inside. Needs spaCy 3.8.

| on the dev file, parsed from raw text | % |
| --- | --- |
| tag accuracy | {tag_acc} |
| unlabelled attachment | {dep_uas} |
| labelled attachment | {dep_las} |
| sentence boundaries, F1 | {sents_f} |
| base noun phrases, exact span: recall | {phrase_recall} |
| base noun phrases, exact span: precision | {phrase_precision} |

The treebank marks no noun phrases; the gold ones are what `engine/noun_phrases/chunks.py` finds on the gold trees.
`python benchmarks/phrases.py` prints its scores on captions and its speed.

**Limits**: English only. A caption that is a list of names or keywords is parsed as one compound noun.
"""


def write_card(folder: Path, scores: dict[str, float], epochs: int, seed: int) -> None:
    """Write README.md into a pipeline's folder. `scores` are percentages by the names used in the card."""
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    text = CARD.format(epochs=epochs, seed=seed, megabytes=size / 1e6, **scores)
    (folder / "README.md").write_text(text, encoding="utf-8")
