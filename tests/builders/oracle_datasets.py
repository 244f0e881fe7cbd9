"""A grounder that knows the answers, and small datasets to ask it about: for tests of evaluation."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

from pictures import saved
from PIL import Image
from sample_labels import labels_of

from engine.artifacts import Store
from engine.shards import LabelledImage, write_card, write_shard
from schemas.records import BoxXYXY, Candidate, UnitRef
from schemas.shards import DatasetCard
from teacher.protocol import Question
from teacher.worker import TeacherWorker

SIZE = (120, 80)


class Oracle:
    """A grounder that knows one box for each text, and finds it wherever it is asked for it."""

    digest, full_batches = "oracle", False

    def __init__(self, boxes: dict[str, BoxXYXY], max_tokens: int = 12) -> None:
        self.boxes, self.max_tokens = boxes, max_tokens
        self.asked: list[str] = []

    def count_tokens(self, text: str) -> int:
        return len(text.split()) + 2

    def phrase_fits(self, text: str) -> bool:
        return self.count_tokens(text) <= self.max_tokens

    def bucket(self, width: int, height: int) -> Hashable:
        return width, height

    def prepare(self, image: Image.Image) -> Any:
        return image.size

    def ground(self, questions: Sequence[Question], min_score: float) -> list[list[Candidate]]:
        self.asked += [question.prompt.text for question in questions]
        return [
            [
                Candidate(span.phrase, self.boxes[text], 0.9)
                for span in question.prompt.spans
                if (text := question.prompt.text[span.start : span.end]) in self.boxes
            ]
            for question in questions
        ]


def picture(seed: int) -> bytes:
    return saved(Image.new("RGB", SIZE, (seed * 40 % 256, 90, 160)), "JPEG")


def sample(key: str, caption: str, boxes: dict[str, list[BoxXYXY]], image: bytes | None = None) -> LabelledImage:
    rows = [(number, box, 1.0) for number, of_phrase in enumerate(boxes.values()) for box in of_phrase]
    labels = labels_of(caption, boxes, rows, key=key, size=SIZE, image_sha256=f"{int(key):064x}")
    return LabelledImage(labels, image or picture(int(key)), "jpg")


def write_dataset(folder: Path, samples: list[LabelledImage], classes: Sequence[str] = ()) -> DatasetCard:
    store = Store(folder)
    write_shard(store, UnitRef(0, "test", 0, len(samples)), samples, [], work_digest="w", stages=[])
    card = DatasetCard(
        origin="human",
        task="detection" if classes else "grounding",
        source_fingerprint=folder.name,
        recipe_digest="r",
        classes=list(classes),
        complete=True,
        samples=len(samples),
    )
    write_card(store, card)
    return card


DOG: BoxXYXY = (10, 10, 50, 60)
CAT: BoxXYXY = (60, 20, 110, 70)


def worker(oracle: Oracle) -> TeacherWorker:
    return TeacherWorker(oracle, batch_size=4, min_score=0.01)
