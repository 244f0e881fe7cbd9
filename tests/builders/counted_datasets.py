"""A small dataset drawn by chance whose every number can be counted by hand: captions, phrases, boxes, rejects, times.

Captions hold what texts on the web hold: capitals, repeated phrases, quotes, markup, SQL, other scripts, emoji.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, replace
from pathlib import Path

from sample_labels import labels_of

from engine.artifacts import Store
from engine.shards import LabelledImage, write_card, write_shard
from schemas.records import Reject, UnitRef
from schemas.reports import StageCounts
from schemas.shards import DatasetCard, SampleLabels, ShardManifest

CARD = DatasetCard(
    origin="pseudo",
    task="grounding",
    source_fingerprint="s",
    recipe_digest="r",
    recipe={"source": {"kind": "urls"}},
    teacher_digest="t",
    complete=True,
)
# A phrase and the lemma of its head.
PHRASES = (
    ("a dog", "dog"),
    ("A Dog", "dog"),
    ("the brown dogs", "dog"),
    ("two brown dogs", "dog"),
    ("Her red hat", "hat"),
    ("a man in a hat", "man"),
    ("three wise men", "man"),
    ("time", "time"),
    ("the", "the"),
    ("Robert'); DROP TABLE boxes; --", "table"),
    ('"quoted" `ticks` % _ \\', "tick"),
    ("<script>alert(1)</script>", "script"),
    ("nul\x00byte", "byte"),
    ("un château", "château"),
    ("ÉCOLE", "école"),
    ("كلب بني", "كلب"),
    ("🐶 puppies", "puppy"),
    ("'' OR 1=1", "or"),
)
SIZES = ((640, 480), (480, 640), (100, 100), (3000, 20))
MESSAGES = (
    ("read", "http_404", "http://a.example/1.jpg: answered 404"),
    ("read", "timeout", "https://B.example:8080/x'; DROP TABLE rejects; --: TimeoutError"),
    ("read", "caption_empty", "tar#3: no caption"),
    ("phrases", "no_phrase", "http://not.a.read/ says the caption"),
)


@dataclass(frozen=True)
class Counted:
    """A dataset in a folder, and all that was put into it."""

    folder: Path
    samples: list[list[LabelledImage]]
    rejects: list[list[Reject]]
    manifests: list[ShardManifest]

    def labels(self) -> list[SampleLabels]:
        return [one.labels for unit in self.samples for one in unit]


def counted_sample(draw: random.Random, number: int) -> LabelledImage:
    """A caption of a few phrases, some of them twice, with candidates of all scores."""
    caption, phrases = "", []
    for text, lemma in draw.choices(
        PHRASES, weights=[1 / (rank + 1) for rank in range(len(PHRASES))], k=draw.randint(1, 5)
    ):
        caption += "and "
        phrases.append((len(caption), len(caption) + len(text), lemma))
        caption += f"{text} "
    width, height = draw.choice(SIZES)
    boxes = []
    for _ in range(draw.randint(1, 9)):
        across = sorted(round(draw.random() * width, 1) for _ in "ab")
        down = sorted(round(draw.random() * height, 1) for _ in "ab")
        box = (across[0], down[0], across[1], down[1])
        score = round(draw.random() * 0.95 + 0.05, 4)
        boxes.append((draw.randrange(len(phrases)), box, score))
    labels = labels_of(
        caption,
        phrases,
        boxes,
        key=f"k{number:05d}",
        size=(width, height),
        image_sha256=hashlib.sha256(str(number - number % 7 // 6).encode()).hexdigest(),
        teacher_digest="t",
    )
    return LabelledImage(labels, b"no picture", "jpg")


def counted_dataset(
    folder: Path,
    *,
    units: int = 4,
    images: int = 30,
    seed: int = 1,
    card: DatasetCard = CARD,
    bare: tuple[int, int] | None = None,
) -> Counted:
    """Units of different sizes, the last one empty but for rejects; ``bare``: unit and row of a sample without box."""
    draw, store = random.Random(seed), Store(folder)
    samples: list[list[LabelledImage]] = []
    rejects: list[list[Reject]] = []
    manifests = []
    for unit in range(units):
        count = 0 if unit == units - 1 else images + 3 * unit
        samples.append([counted_sample(draw, 1000 * unit + number) for number in range(count)])
        if bare is not None and bare[0] == unit:
            one = samples[-1][bare[1]]
            samples[-1][bare[1]] = replace(one, labels=one.labels.model_copy(update={"boxes": []}))
        chosen = [draw.choice(MESSAGES) for _ in range(draw.randint(1, 8))]
        rejects.append([Reject(f"r{unit}-{place}", *one) for place, one in enumerate(chosen)])
        manifests.append(_write(store, unit, samples[-1], rejects[-1]))
    write_card(store, card)
    return Counted(folder, samples, rejects, manifests)


def _write(store: Store, unit: int, samples: list[LabelledImage], rejects: list[Reject]) -> ShardManifest:
    rows = len(samples) + len(rejects)
    stages, left = [], rows
    for number, stage in enumerate(("read", "phrases", "ground")):
        reasons = [one.reason for one in rejects if one.stage == stage]
        dropped = {reason: reasons.count(reason) for reason in sorted(set(reasons))}
        went_on, seconds = left - len(reasons), (unit + 1) * (number + 1) / 4
        stages.append(StageCounts(stage=stage, came_in=left, went_on=went_on, dropped=dropped, seconds=seconds))
        left = went_on
    return write_shard(
        store,
        UnitRef(unit, f"source{unit}", 1000 * unit, rows),
        samples,
        rejects,
        work_digest="w",
        stages=stages,
        seconds=1.5 * (unit + 1),
        worker=f"host/{unit % 2}",
    )
