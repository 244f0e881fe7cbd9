"""How long captions are, and in which language: from a bounded sample, since the tables of boxes hold no captions.

In: a store and the manifests of its whole units. Out: a :class:`~schemas.dataset_report.CaptionSample` that says how
many captions were read, of how many units. The sample is at even spaces through the dataset, without chance, so that
equal data give equal numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.artifacts import Store
from engine.dataset.manifest_summary import ManifestSummary
from engine.filtering.caption_language import count_languages
from engine.shards import ShardReader
from schemas.dataset_report import CaptionSample, Histogram, LanguageCount

UNITS, CAPTIONS = 16, 2_000
CHARACTERS, WORDS, BINS = 20, 3, 20
LANGUAGES = 20


def caption_sample(store: Store, manifests: Sequence[ManifestSummary]) -> CaptionSample | None:
    """What a sample of the stored captions says; None where no shard can be read, or where there is no sample."""
    captions: list[str] = []
    read = 0
    ordered = sorted(manifests, key=lambda one: one.unit)
    for place in _even(len(ordered), UNITS):
        manifest = ordered[place]
        found = _captions(store, manifest, -(-CAPTIONS // min(UNITS, len(manifests))))
        captions += found
        read += bool(found)
    if not captions:
        return None
    languages, unknown = _languages(captions)
    characters, words = [len(caption) for caption in captions], [len(caption.split()) for caption in captions]
    what = f"Captions of {len(captions):,} stored samples, at even spaces, from {read} of {len(manifests):,} units"
    return CaptionSample(
        captions=len(captions),
        units=read,
        characters=_histogram("caption_characters", "Caption length", "characters", CHARACTERS, characters, what),
        words=_histogram("caption_words", "Words of a caption", "words", WORDS, words, what),
        languages=languages,
        language_unknown=unknown,
        definition=f"{what}. The language is py3langid's most probable one, which is often wrong for a few words.",
    )


def _even(things: int, count: int) -> list[int]:
    """The numbers of at most ``count`` things at even spaces."""
    return sorted({number * things // count for number in range(count)}) if things else []


def _captions(store: Store, manifest: ManifestSummary, count: int) -> list[str]:
    """Captions of a unit at even spaces; none where its shard is not there or not whole."""
    try:
        with ShardReader(store, manifest.unit) as reader:
            return [reader.labels(row).caption for row in _even(len(reader), count)]
    except (FileNotFoundError, ValueError):  # told of with the dataset's wholeness
        return []


def _histogram(name: str, title: str, unit: str, width: int, lengths: Sequence[int], what: str) -> Histogram:
    places = np.minimum(np.array(lengths) // width, BINS - 1)
    return Histogram(
        name=name,
        title=title,
        unit=unit,
        edges=[float(width * edge) for edge in range(BINS + 1)],
        counts=np.bincount(places, minlength=BINS).tolist(),
        open_end=True,
        definition=f"{what}, by their {unit}{', cut at white space' if unit == 'words' else ''}.",
        section="captions",
    )


def _languages(captions: Sequence[str]) -> tuple[list[LanguageCount], str | None]:
    """The most frequent languages, and why none is known."""
    try:
        counts = count_languages(captions)
    except ImportError:
        return [], "py3langid is not installed: pip install 'glip-engine[language]'"
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:LANGUAGES]
    return [LanguageCount(language=language, captions=count) for language, count in ranked], None
