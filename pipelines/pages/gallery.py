"""A bounded sample of labelled pictures for the report, drawn by a seed and never by how good they look.

In: a dataset and a selection. Out: at most ``limit`` pictures of at most ``MAX_UNITS`` units. Units are taken at even
spaces through the dataset from a start drawn by the seed, then rows at even spaces through each unit, so that every
sample is equally probable. The number of units is bounded because each costs reading a shard's index. Thumbnails share
``max_bytes``; they are taken in an order drawn by the seed, so that a smaller page still shows the whole dataset.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, islice
from pathlib import Path

from engine.artifacts import Store
from engine.dataset.manifest_summary import ManifestSummary
from engine.selection import chosen_rules
from engine.shards import ShardReader, committed_units, read_card, read_manifest
from engine.view import View, open_view
from pipelines.pages.picture_cards import Picture, draw, thumbnail
from pipelines.pictures.upright import Turn
from schemas.dataset_vocabulary import PhraseCount
from schemas.recipes import SelectionChoice

MAX_UNITS = 48
MAX_IMAGE_BYTES = 64 << 20  # of the stored file; a larger one is passed over
# Rows looked at, from each of the places on, for a picture that the selection keeps a box of.
MAX_TRIES = 20


@dataclass(frozen=True)
class Gallery:
    """The sampled pictures in the dataset's order, and from how many samples and units they were drawn by which seed.

    ``problems``: units that could not be read. ``counts``: of the sample's phrases, as written, in the whole dataset;
    None where they were not looked up.
    """

    pictures: tuple[Picture, ...]
    samples: int
    units_read: int
    units: int
    seed: int
    scored: bool = True
    problems: tuple[str, ...] = ()
    counts: Mapping[str, PhraseCount] | None = None

    def phrases(self) -> set[str]:
        """The texts of the phrases that have a box, as written."""
        return {text for one in self.pictures for text in one.phrases.values()}

    def with_counts(self, counts: Mapping[str, PhraseCount]) -> Gallery:
        """The same gallery with the counts of its phrases in the whole dataset."""
        return replace(self, counts=counts)


def gallery(
    dataset: str | Path,
    selection: SelectionChoice | None,
    *,
    limit: int,
    seed: int = 0,
    max_bytes: int = 20_000_000,
) -> Gallery:
    """At most ``limit`` pictures of a dataset under a selection (its card's where None), in ``max_bytes`` of base64.

    A dataset with no committed unit gives none. ValueError where there is no dataset.
    """
    store = Store(dataset)
    card = read_card(store)
    rules = chosen_rules(card, selection)
    found_manifests = (read_manifest(store, unit) for unit in committed_units(store))
    manifests = [ManifestSummary.of(one) for one in found_manifests if one is not None]
    view = open_view(store, manifests, rules)
    places = sample_places([one.samples for one in manifests], limit, seed)
    found, problems = [], []
    for index, rows in places.items():
        try:
            found += _of_unit(store, manifests[index], rows, view)
        except (ValueError, FileNotFoundError) as error:  # the other units have pictures too
            problems.append(str(error))
    return Gallery(
        pictures=_within(found, max_bytes, seed),
        samples=sum(one.samples for one in manifests),
        units_read=len(places),
        units=len(manifests),
        seed=seed,
        scored=card.origin == "pseudo",
        problems=tuple(problems),
    )


def sample_places(sizes: Sequence[int], limit: int, seed: int) -> dict[int, list[range]]:
    """Which rows of which units to look at: by the unit's place in ``sizes``, one range of rows a picture, in order.

    The first row of a range is drawn; the rest are tried where it has no picture to show.
    """
    draws = random.Random(seed)
    counts = _pictures_by_unit(sizes, min(limit, sum(sizes)), draws)
    return {unit: _ranges(sizes[unit], min(sizes[unit], count), draws) for unit, count in sorted(counts.items())}


def _pictures_by_unit(sizes: Sequence[int], wanted: int, draws: random.Random) -> Counter[int]:
    """How many of the ``wanted`` pictures are taken from which unit, in proportion to the units' sizes."""
    if not wanted:
        return Counter()
    ends = list(accumulate(sizes))
    clusters = wanted if len(sizes) <= MAX_UNITS else min(MAX_UNITS, wanted)
    units = [bisect_right(ends, position) for position in _even(ends[-1], clusters, draws)]
    return Counter(units[number * clusters // wanted] for number in range(wanted))


def _even(total: int, count: int, draws: random.Random) -> list[int]:
    """``count`` (at most ``total``) different numbers below ``total`` at even spaces, from a drawn start."""
    start = draws.random()
    return [int((number + start) * total / count) for number in range(count)]


def _ranges(rows: int, count: int, draws: random.Random) -> list[range]:
    starts = _even(rows, count, draws)
    ends = [*starts[1:], rows]
    return [range(start, min(end, start + MAX_TRIES)) for start, end in zip(starts, ends, strict=True)]


def _of_unit(store: Store, manifest: ManifestSummary, rows: Sequence[range], view: View) -> list[Picture]:
    """The pictures of one unit. ValueError or FileNotFoundError where its shard is not whole."""
    left_out = view.duplicates.of(manifest.unit)
    found: list[Picture] = []
    with ShardReader(store, manifest.unit) as reader:
        for tries in rows:
            shown = (_shown(reader, row, view, manifest.source_uri) for row in tries if row not in left_out)
            found += islice(filter(None, shown), 1)
    return found


def _shown(reader: ShardReader, row: int, view: View, source_uri: str) -> Picture | None:
    """The picture of a row; None where the selection leaves it no box, or where it cannot be decoded."""
    labels, _ = view.seen(reader.labels(row))
    if not labels.boxes:
        return None
    try:
        image = reader.image(row, MAX_IMAGE_BYTES)
    except ValueError:  # too large to be read for a thumbnail
        return None
    jpeg = thumbnail(image)
    turn = Turn.of(image, (labels.width, labels.height))
    return None if jpeg is None else draw(turn.labels(labels), jpeg, source_uri)


def _within(found: Sequence[Picture], max_bytes: int, seed: int) -> tuple[Picture, ...]:
    """As many pictures as fit into ``max_bytes``, chosen in an order drawn by the seed and returned in the dataset's
    order."""
    order = list(range(len(found)))
    random.Random(seed).shuffle(order)
    kept, size = [], 0
    for number in order:
        size += len(found[number].jpeg)
        if size > max_bytes:
            break
        kept.append(number)
    return tuple(found[number] for number in sorted(kept))
