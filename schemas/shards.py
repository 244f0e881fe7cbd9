"""A dataset on disk: the members of one shard sample, the manifest of a shard, the dataset's card, the format version.

dataset.json               DatasetCard
shards/000000.tar          WebDataset: KEY.<ext> (the source's bytes) + KEY.json (SampleLabels)
annotations/000000.parquet one row per box candidate: ANNOTATION_SCHEMA
rejects/000000.parquet     one row per sample that was not labelled: REJECT_SCHEMA
manifests/000000.json      ShardManifest: written last; the commit of the unit
duplicates.parquet         one row per sample that readers leave out, where `dedupe` was run: DUPLICATE_SCHEMA
verdicts/*.parquet         one row per verdict of a reviewer, only ever added to: schemas.verdicts.VERDICT_SCHEMA
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from schemas.reports import Document, StageCounts

FORMAT: Literal["glip-engine/1"] = "glip-engine/1"

Coordinate = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class SamplePhrase(Document):
    """A phrase of the caption: ``caption[start:end] == text`` (half-open characters of the caption as stored)."""

    text: str
    start: int = Field(ge=0)
    end: int = Field(gt=0)
    head_lemma: str


class SampleBox(Document):
    """A box of phrase number ``phrase``: xyxy pixels of the original image; human boxes have score 1.

    ``agreement`` is there only where two teachers were asked: IoU of their boxes, 0 where one alone has the box.
    """

    phrase: int = Field(ge=0)
    box_xyxy: tuple[Coordinate, Coordinate, Coordinate, Coordinate]
    score: float = Field(ge=0, le=1)
    agreement: float | None = Field(default=None, ge=0, le=1)
    difficult: bool | None = Field(
        default=None,
        description="true for what annotators could hardly make out (Pascal VOC): a box to learn from, which average "
        "precision neither asks for nor holds against a detection; left out elsewhere",
    )
    area: float | None = Field(
        default=None,
        ge=0,
        description="pixels of the thing's mask where the annotations state them (COCO, LVIS), by which average "
        "precision tells small, medium and large; left out elsewhere",
    )


class SampleCrowd(Document):
    """A region of many things of a class that nobody told apart (COCO's ``iscrowd``): xyxy pixels of the original
    image. It is no box to learn from, and average precision ignores what is found inside."""

    name: str
    box_xyxy: tuple[Coordinate, Coordinate, Coordinate, Coordinate]


class SampleLabels(Document):
    """The ``.json`` member of a sample. Its JSON Schema is published as ``docs/sample.schema.json``."""

    key: str = Field(min_length=1)
    caption: str
    phrases: list[SamplePhrase]
    boxes: list[SampleBox]
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    image_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    image_phash: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{32}$",
        description="perceptual hash of the picture (engine.filtering.image_hash); none for a blank one",
    )
    absent_classes: list[str] | None = Field(
        default=None,
        description="of a federated detection dataset: the classes that were looked for and are not there; whether a "
        "class that is neither here nor in a phrase is there is not known. None: all of the card's were looked for",
    )
    incomplete_classes: list[str] | None = Field(
        default=None, description="of a federated detection dataset: classes of which not every thing has its box"
    )
    crowds: list[SampleCrowd] | None = Field(
        default=None, description="of a detection dataset: regions of many things that nobody told apart"
    )
    locator: str
    source_columns: dict[str, str | int | float | bool] | None = Field(
        default=None, description="cells of the source's own columns that the recipe's `source.carry` names"
    )
    teacher_digest: str | None = None
    recipe_digest: str

    @model_validator(mode="after")
    def _spans_and_boxes_hold(self) -> SampleLabels:
        self.check_spans_and_boxes()
        return self

    def check_spans_and_boxes(self) -> None:
        """ValueError where a phrase is not what stands at its span, or a box is of no phrase or not inside the picture.
        Done when labels are made, but not when they are copied with other fields."""
        for number, phrase in enumerate(self.phrases):
            if self.caption[phrase.start : phrase.end] != phrase.text:
                raise ValueError(
                    f"sample {self.key!r}, phrase {number}: caption[{phrase.start}:{phrase.end}] is "
                    f"{self.caption[phrase.start : phrase.end]!r}, not {phrase.text!r}"
                )
        for number, box in enumerate(self.boxes):
            x1, y1, x2, y2 = box.box_xyxy
            if box.phrase >= len(self.phrases):
                raise ValueError(
                    f"sample {self.key!r}, box {number}: phrase {box.phrase} of {len(self.phrases)} does not exist"
                )
            if not (x1 <= x2 <= self.width and y1 <= y2 <= self.height) or math.isnan(box.score):
                raise ValueError(
                    f"sample {self.key!r}, box {number}: xyxy {box.box_xyxy} is not inside the image of "
                    f"{self.width} x {self.height} pixels"
                )


class FileDigest(Document):
    """A file of a shard, by its path inside the dataset."""

    path: str
    sha256: str
    size: int


class ShardManifest(Document):
    """The commit of one unit. A unit without a manifest, or with one of other digests, has not been done."""

    format: Literal["glip-engine/1"] = FORMAT
    unit: int = Field(ge=0)
    source_uri: str
    first_row: int = Field(ge=0)
    rows: int = Field(ge=0)
    work_digest: str = Field(description="digest of all that decides the content: source slice, recipe, teacher, seed")
    stages: list[StageCounts]
    samples: int = Field(ge=0)
    phrases: int = Field(ge=0)
    boxes: int = Field(ge=0)
    rejects: int = Field(ge=0)
    files: list[FileDigest]
    first_key: str | None
    last_key: str | None
    seconds: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    finished_at: str = ""
    worker: str = Field(default="", description="host and process that committed the unit")


class DatasetCard(Document):
    """``dataset.json``. Written before the first unit with ``complete`` false and no counts, rewritten at the end, and
    when a job is told to stop: then with the counts of what is there."""

    format: Literal["glip-engine/1"] = FORMAT
    origin: Literal["human", "pseudo"]
    task: Literal["grounding", "detection"]
    source_fingerprint: str
    recipe_digest: str
    recipe: dict[str, object] = {}
    teacher_digest: str | None = None
    parents: list[str] = []
    classes: list[str] = Field(
        default=[], description="all class names, for a detection dataset: negatives are drawn from it"
    )
    selection: str | dict[str, object] = "glip"
    complete: bool = False
    planned_units: int | None = Field(default=None, description="of a labelling job: as many units make it complete")
    made_by: str = Field(default="", description="the code and its version that began the dataset")
    units: int = 0
    samples: int = 0
    phrases: int = 0
    boxes: int = 0
    rejects: int = 0
    stages: list[StageCounts] = []


CORNERS = ("x1", "y1", "x2", "y2")
COUNTS = ("samples", "phrases", "boxes", "rejects")  # what manifests count, and the card adds up

ANNOTATION_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("phrase", pa.int32()),
        ("phrase_text", pa.string()),
        ("head_lemma", pa.string()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        *((name, pa.float32()) for name in CORNERS),
        ("score", pa.float32()),
        ("agreement", pa.float32()),  # null but for an ensemble's boxes
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("caption_sha256", pa.string()),
        ("image_sha256", pa.string()),
        ("image_phash", pa.string()),  # null for a blank picture
    ]
)

REJECT_SCHEMA = pa.schema(
    [("key", pa.string()), ("stage", pa.string()), ("reason", pa.string()), ("message", pa.string())]
)

DUPLICATE_SCHEMA = pa.schema(
    [
        ("unit", pa.int32()),
        ("row", pa.int32()),
        ("key", pa.string()),
        ("reason", pa.string()),  # duplicate_exact or duplicate_near
        ("of_key", pa.string()),  # the first sample of that picture, which stays
        ("distance", pa.uint8()),  # bits between the coarse halves of their perceptual hashes
    ]
)
