"""The nano model's own WordPiece vocabulary: small, from the words of captions.

In: captions and class names. Out: ``tokenizer.json`` of the ``tokenizers`` library.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from engine.artifacts import Store
from engine.sources.scenes import render_scene
from glip.tokens import train_tokenizer
from schemas.recipes import ScenesSource

VOCABULARY_SIZE = 6000
SCENE_CAPTIONS = 3000


def train_vocabulary(data: Path, scenes: ScenesSource, out: Path) -> None:
    """Write the vocabulary ``out``, a ``tokenizer.json``, from scene captions and the text of the data folder."""
    texts = chain(_scene_captions(scenes), _photo_captions(data), _web_captions(data), _class_names(data))
    tokenizer = train_tokenizer((text.lower() for text in texts), VOCABULARY_SIZE)
    Store(out.parent).write(out.name, tokenizer.to_json().encode())


def _scene_captions(scenes: ScenesSource) -> Iterator[str]:
    for index in range(min(scenes.count, SCENE_CAPTIONS)):
        yield render_scene(index, scenes).caption


def _photo_captions(data: Path) -> Iterator[str]:
    for name in ("captions_text_only.json", "human/captions.json"):
        for annotation in json.loads((data / "photos" / name).read_text())["annotations"]:
            yield annotation["caption"]


def _web_captions(data: Path) -> Iterator[str]:
    with (data / "captions" / "conceptual_captions_val_open.tsv").open(newline="") as file:
        for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            yield row[0]


def _class_names(data: Path) -> Iterator[str]:
    names = (data / "names" / "objects365_class_names_scenic.txt").read_text().splitlines()
    with (data / "names" / "open_images_v5-classes.csv").open(newline="") as file:
        names += [row[1] for row in csv.reader(file)]
    coco = json.loads((data / "photos" / "human" / "instances.json").read_text())["categories"]
    names += [category["name"] for category in coco]
    yield from names
