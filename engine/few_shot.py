"""A few pictures of each class of a detection dataset, as a dataset of its own.

In: a human detection dataset, a number of shots and a seed. Out: a dataset of the same format with so many pictures of
each class, drawn as the GLIP paper draws for ODinW (section 5.1): pictures in random order, each taken while one of
its classes still lacks some. What has been written is not written again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from sys import intern

import numpy as np

from engine.artifacts import Store, digest_of
from engine.made_by import made_by
from engine.review.verdicts import read_verdicts
from engine.shards import CARD, LabelledImage, placed_labels, read_card, read_samples, write_card, write_shard
from engine.view import View
from schemas.records import UnitRef
from schemas.reports import StageCounts
from schemas.shards import DatasetCard, SampleLabels


def draw_shots(pictures: Sequence[Collection[str]], shots: int, seed: int) -> list[int]:
    """Which of the pictures, each given as the classes that it has a box of, are taken, in their order.

    Each class gets at least ``shots`` of them, or all it has where there are fewer. Pictures without a box are never
    taken.
    """
    seen: Counter[str] = Counter()
    taken = []
    for number in np.random.default_rng(seed).permutation(len(pictures)):
        if any(seen[name] < shots for name in pictures[number]):
            taken.append(int(number))
            seen.update(pictures[number])
    return sorted(taken)


def check_source(source: str | Path) -> DatasetCard:
    """The card of what shots are to be drawn from; ValueError where it is no whole human detection dataset."""
    card = read_card(Store(source))
    if (card.origin, card.task, card.complete) != ("human", "detection", True):
        state = "" if card.complete else ", and not complete"
        raise ValueError(
            f"{source} is {card.origin}, of task {card.task}{state}; shots are drawn from complete human detection data"
        )
    return card


def write_shots(source: str | Path, shots: int, seed: int, out: str | Path) -> DatasetCard:
    """Draw from the dataset ``source`` and write it as the dataset ``out``; returns its card.

    ValueError where the source is no whole human detection dataset or has no box at all, or ``out`` holds another
    dataset.
    """
    store, parent = Store(source), check_source(source)
    recipe: dict[str, object] = {"shots": shots, "seed": seed}
    view = View(verdicts=read_verdicts(store))  # what training on all of the source would see
    fingerprint = digest_of([parent.source_fingerprint, parent.recipe_digest, recipe, *view.digests().values()])
    out_store = Store(out)
    with out_store.locked():
        if out_store.exists(CARD):
            found = read_card(out_store)
            if found.source_fingerprint != fingerprint:
                raise ValueError(f"{out} holds another dataset; give another folder, or delete this one")
            if found.complete:
                return found
        # Neither pictures nor labels are kept: those of a whole dataset may not fit into memory.
        known = [(place, _classes(view.seen(labels)[0])) for place, labels in placed_labels(store)]
        numbers = draw_shots([classes for _, classes in known], shots, seed)
        if not numbers:
            raise ValueError(f"{source} has no box to learn from in {len(known)} pictures")
        card = DatasetCard(
            origin="human",
            task="detection",
            source_fingerprint=fingerprint,
            recipe_digest=digest_of(recipe),
            recipe=recipe,
            parents=[parent.source_fingerprint],
            classes=parent.classes,
            made_by=made_by("few-shot"),
        )
        drawn = read_samples(store, [known[number][0] for number in numbers])
        return _write(out_store, card, [replace(one, labels=view.seen(one.labels)[0]) for one in drawn])


def _classes(labels: SampleLabels) -> frozenset[str]:
    """The classes of the boxes in a picture."""
    return frozenset(intern(labels.phrases[box.phrase].text) for box in labels.boxes)


def _write(store: Store, card: DatasetCard, samples: Sequence[LabelledImage]) -> DatasetCard:
    boxes = sum(len(sample.labels.boxes) for sample in samples)
    stages = [
        StageCounts(stage=name, came_in=count, went_on=count)
        for name, count in (("read", len(samples)), ("annotation", boxes))
    ]
    ref = UnitRef(0, "shots", 0, len(samples))
    write_card(store, card)
    manifest = write_shard(store, ref, samples, [], work_digest=card.source_fingerprint, stages=stages)
    counts = {"units": 1, "samples": manifest.samples, "phrases": manifest.phrases, "boxes": manifest.boxes}
    card = card.model_copy(update={"complete": True, "stages": stages, **counts})
    write_card(store, card)
    return card
