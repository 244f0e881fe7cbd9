"""A generated dataset with any number of boxes, of tables and manifests only: without pictures and shards.

In: the number of boxes. Out: ``annotations``, ``rejects``, ``manifests`` and the card. Captions are drawn such that
there are about 3.25 boxes an image and 0.75 unique phrases a box, as in the GLIP paper; words follow Zipf's law.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.artifacts import Store
from engine.shards import annotations_name, rejects_name, shard_name, write_card
from schemas.records import UnitRef
from schemas.reports import StageCounts
from schemas.shards import ANNOTATION_SCHEMA, REJECT_SCHEMA, DatasetCard, FileDigest, ShardManifest

IMAGES_A_UNIT = 2_000
NOUNS, ADJECTIVES = 30_000, 60_000
FREQUENT_SHARE = 0.12  # of phrases: an article and a noun, which repeat; the others have two adjectives
DIGEST = "0" * 64
SIZES = np.array([(640, 480), (1024, 683), (480, 640), (800, 800), (500, 333), (1920, 1080)], dtype=np.int32)


class Words(NamedTuple):
    """The words that phrases are made of."""

    nouns: pa.Array
    adjectives: pa.Array
    articles: pa.Array


def words() -> Words:
    """Generate words from syllables, so that they are as long as real ones."""
    syllables = [first + vowel for first in "bdfgklmnprstvz" for vowel in "aeiou"]
    base = len(syllables)

    def word(number: int, ending: str) -> str:
        return syllables[number % base] + syllables[number // base % base] + syllables[number // base**2] + ending

    return Words(
        pa.array([word(number, "n") for number in range(NOUNS)]),
        pa.array([word(number, "ish") for number in range(ADJECTIVES)]),
        pa.array(["a ", "the ", "A ", "two "]),
    )


def ranks(draw: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Ranks below ``count`` whose frequency falls about as 1 / rank."""
    return np.minimum(count ** draw.random(size), count).astype(np.int64) - 1


def phrase_texts(draw: np.random.Generator, count: int, vocabulary: Words) -> tuple[pa.Array, pa.Array]:
    """The texts of phrases, and their heads."""
    heads = vocabulary.nouns.take(pa.array(ranks(draw, NOUNS, count)))
    articles = vocabulary.articles.take(pa.array(draw.integers(0, len(vocabulary.articles), count)))
    pairs = [vocabulary.adjectives.take(pa.array(ranks(draw, ADJECTIVES, count))) for _ in range(2)]
    long = pc.binary_join_element_wise(*pairs, heads, " ")
    rest = pc.if_else(pa.array(draw.random(count) < FREQUENT_SHARE), heads, long)
    return pc.binary_join_element_wise(articles, rest, ""), heads


def hex_digests(draw: np.random.Generator, count: int) -> pa.Array:
    """Random digests that look like those of SHA-256."""
    text = draw.bytes(32 * count).hex()
    return pa.array([text[start : start + 64] for start in range(0, len(text), 64)])


def unit_table(unit: int, images: int, vocabulary: Words) -> pa.Table:
    """The boxes of one unit: ``ANNOTATION_SCHEMA``."""
    draw = np.random.default_rng([0, unit])
    phrases_of = draw.integers(1, 6, images)
    image = np.repeat(np.arange(images), phrases_of)
    phrase = np.arange(len(image)) - np.repeat(np.cumsum(phrases_of) - phrases_of, phrases_of)
    written, heads = phrase_texts(draw, len(image), vocabulary)
    boxes_of = draw.choice([1, 2], len(image), p=[0.92, 0.08])
    row = np.repeat(np.arange(len(image)), boxes_of)
    count = len(row)
    size = SIZES[draw.integers(0, len(SIZES), images)][image[row]]
    low = draw.random((count, 2)) * 0.7
    high = low + draw.random((count, 2)) * (1 - low)
    corners = np.round(np.concatenate([low * size, high * size], axis=1), 1).astype(np.float32)
    order, scores = pa.array(row), np.round(0.05 + 0.95 * draw.beta(2, 3, count), 4).astype(np.float32)
    keys = pa.array([f"{unit:06d}{number:05d}" for number in range(images)])
    pictures, captions = hex_digests(draw, images), hex_digests(draw, images)
    of_image = pa.array(image[row])
    columns = {
        "key": keys.take(of_image),
        "phrase": phrase[row].astype(np.int32),
        "phrase_text": written.take(order),
        "head_lemma": heads.take(order),
        "start": (phrase[row] * 40).astype(np.int32),
        "end": (phrase[row] * 40 + 30).astype(np.int32),
        **{name: corners[:, side] for side, name in enumerate(("x1", "y1", "x2", "y2"))},
        "score": scores,
        "agreement": pa.nulls(count, pa.float32()),
        "width": size[:, 0],
        "height": size[:, 1],
        "caption_sha256": captions.take(of_image),
        "image_sha256": pictures.take(of_image),
        "image_phash": pictures.take(of_image),
    }
    return pa.table(columns, schema=ANNOTATION_SCHEMA)


def write_unit(store: Store, unit: int, images: int, vocabulary: Words) -> int:
    """The files of one unit; returns its boxes."""
    table = unit_table(unit, images, vocabulary)
    failed = images // 10
    rejects = pa.table(
        {
            "key": [f"r{unit}-{number}" for number in range(failed)],
            "stage": ["read"] * failed,
            "reason": ["http_404" if number % 3 else "timeout" for number in range(failed)],
            "message": [f"http://host{number % 40}.example/{unit}/{number}.jpg: gone" for number in range(failed)],
        },
        schema=REJECT_SCHEMA,
    )
    pq.write_table(table, store.path(annotations_name(unit)), compression="zstd")
    pq.write_table(rejects, store.path(rejects_name(unit)), compression="zstd")
    sizes = {name: store.size(name) or 0 for name in (annotations_name(unit), rejects_name(unit))}
    ref = UnitRef(unit, "generated", unit * (images + failed), images + failed)
    dropped = {"http_404": failed - -(-failed // 3), "timeout": -(-failed // 3)}
    manifest = ShardManifest(
        unit=unit,
        source_uri=ref.uri,
        first_row=ref.first_row,
        rows=ref.rows,
        work_digest=DIGEST,
        stages=[StageCounts(stage="read", came_in=ref.rows, went_on=images, dropped=dropped, seconds=1.0)],
        samples=images,
        phrases=len(pc.unique(pc.binary_join_element_wise(table["key"], table["phrase"].cast(pa.string()), "/"))),
        boxes=len(table),
        rejects=failed,
        files=[FileDigest(path=name, sha256=DIGEST, size=size) for name, size in sizes.items()]
        + [FileDigest(path=shard_name(unit), sha256=DIGEST, size=0)],
        first_key=None,
        last_key=None,
        seconds=10.0 + unit % 7,
        worker=f"host{unit % 4}/1",
    )
    store.write(f"manifests/{unit:06d}.json", manifest.model_dump_json().encode())
    return len(table)


def write_generated(store: Store, boxes: int) -> int:
    """Write units until there are about ``boxes`` boxes or a few more; returns their number."""
    for folder in ("annotations", "rejects", "manifests", "shards"):
        store.write(f"{folder}/.writing-begun", b"")
    vocabulary, written, unit = words(), 0, 0
    while written < boxes:
        images = min(IMAGES_A_UNIT, max(1, round((boxes - written) / 3.24)))
        written += write_unit(store, unit, images, vocabulary)
        unit += 1
    card = DatasetCard(
        origin="pseudo",
        task="grounding",
        source_fingerprint=DIGEST,
        recipe_digest=DIGEST,
        teacher_digest=DIGEST,
        complete=True,
    )
    write_card(store, card)
    return written
