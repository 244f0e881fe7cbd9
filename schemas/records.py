"""The flow, top to bottom: what each stage of the labelling job takes and what it gives.

    CaptionedImage > ParsedCaption > GroundingRequest > Grounding > PseudoLabel

Each record is the former plus what its stage found out; the type tells which stages a sample has passed.
A sample that a stage drops becomes a :class:`Reject`. Records of one source slice travel together as a :class:`Unit`.

Boxes are ``xyxy`` float pixels of the original image, as stored (EXIF orientation is not applied).
Spans are half-open character offsets: ``caption[start:end] == phrase.text``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import pyarrow as pa

BoxXYXY = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Phrase:
    """A noun phrase of a caption. ``head_lemma`` is the lower-case lemma of its head noun ("two dogs" > "dog")."""

    text: str
    start: int
    end: int
    head_lemma: str

    arrow_type: ClassVar[pa.DataType] = pa.struct(
        [("text", pa.string()), ("start", pa.int32()), ("end", pa.int32()), ("head_lemma", pa.string())]
    )


@dataclass(frozen=True, slots=True)
class PromptSpan:
    """Where phrase number ``phrase`` of the sample stands in one prompt; half-open characters of the prompt."""

    phrase: int
    start: int
    end: int

    arrow_type: ClassVar[pa.DataType] = pa.struct([("phrase", pa.int32()), ("start", pa.int32()), ("end", pa.int32())])


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text that fits the teacher's token budget, and the phrases to be grounded in it."""

    text: str
    spans: tuple[PromptSpan, ...]

    arrow_type: ClassVar[pa.DataType] = pa.struct([("text", pa.string()), ("spans", pa.list_(PromptSpan.arrow_type))])


@dataclass(frozen=True, slots=True)
class Candidate:
    """A box the teacher proposes for phrase number ``phrase``; ``score`` in [0, 1], raw.

    ``agreement`` is an ensemble's: IoU of the boxes of its two teachers, 0 where only one has it; None otherwise.
    """

    phrase: int
    box_xyxy: BoxXYXY
    score: float
    agreement: float | None = None

    arrow_type: ClassVar[pa.DataType] = pa.struct(
        [
            ("phrase", pa.int32()),
            ("box_xyxy", pa.list_(pa.float64(), 4)),
            ("score", pa.float64()),
            ("agreement", pa.float64()),
        ]
    )


@dataclass(frozen=True, slots=True)
class CaptionedImage:
    """A sample as the source has it. ``image`` is the encoded file, untouched; ``extension`` names its format
    ("jpg"); ``locator`` says where it came from (``00000.tar#000000012``).

    ``sha256`` and ``phash`` are what the picture is known by, in hexadecimal digits, once somebody has looked
    (``engine.image_identity.identified``); of a picture that was looked at ``phash`` is None where it has none.
    """

    key: str
    image: bytes
    extension: str
    caption: str
    locator: str
    sha256: str | None = None
    phash: str | None = None

    arrow_type: ClassVar[pa.DataType] = pa.struct(
        [
            ("key", pa.string()),
            ("image", pa.large_binary()),
            ("extension", pa.string()),
            ("caption", pa.string()),
            ("locator", pa.string()),
            ("sha256", pa.string()),
            ("phash", pa.string()),
        ]
    )


@dataclass(frozen=True, slots=True)
class ParsedCaption:
    """A sample whose caption has been parsed: at least one phrase, in order of their start."""

    source: CaptionedImage
    phrases: tuple[Phrase, ...]

    arrow_type: ClassVar[pa.DataType] = pa.struct(
        [("source", CaptionedImage.arrow_type), ("phrases", pa.list_(Phrase.arrow_type))]
    )


@dataclass(frozen=True, slots=True)
class GroundingRequest:
    """A question to the teacher: each phrase stands in at least one of the prompts."""

    source: CaptionedImage
    phrases: tuple[Phrase, ...]
    prompts: tuple[Prompt, ...]

    arrow_type: ClassVar[pa.DataType] = pa.struct(
        [
            ("source", CaptionedImage.arrow_type),
            ("phrases", pa.list_(Phrase.arrow_type)),
            ("prompts", pa.list_(Prompt.arrow_type)),
        ]
    )


@dataclass(frozen=True, slots=True)
class Grounding:
    """The teacher's raw answer; ``candidates`` may be empty. ``width`` and ``height`` of the stored image in pixels."""

    source: CaptionedImage
    phrases: tuple[Phrase, ...]
    width: int
    height: int
    candidates: tuple[Candidate, ...]

    arrow_type: ClassVar[pa.DataType] = pa.struct(
        [
            ("source", CaptionedImage.arrow_type),
            ("phrases", pa.list_(Phrase.arrow_type)),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("candidates", pa.list_(Candidate.arrow_type)),
        ]
    )


@dataclass(frozen=True, slots=True)
class PseudoLabel(Grounding):
    """A grounding that a selection has passed: at least one candidate, and only those that the selection keeps."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an evaluated grounder answers to the human-annotated sample ``key``: candidates, perhaps none, numbered by
    its gold phrases or by the classes of its dataset."""

    key: str
    candidates: tuple[Candidate, ...]

    arrow_type: ClassVar[pa.DataType] = pa.struct(
        [("key", pa.string()), ("candidates", pa.list_(Candidate.arrow_type))]
    )


@dataclass(frozen=True, slots=True)
class Reject:
    """A sample that was not labelled, and why: ``reason`` is a fixed word to count by, ``message`` is for a person."""

    key: str
    stage: str
    reason: str
    message: str

    arrow_type: ClassVar[pa.DataType] = pa.struct(
        [("key", pa.string()), ("stage", pa.string()), ("reason", pa.string()), ("message", pa.string())]
    )


@dataclass(frozen=True, slots=True)
class UnitRef:
    """A slice of the source and the name of its output shard: rows ``[first_row, first_row + rows)`` of ``uri``."""

    index: int
    uri: str
    first_row: int
    rows: int

    arrow_type: ClassVar[pa.DataType] = pa.struct(
        [("index", pa.int64()), ("uri", pa.string()), ("first_row", pa.int64()), ("rows", pa.int64())]
    )


Record = TypeVar("Record")
Next = TypeVar("Next")


@dataclass(frozen=True, slots=True)
class StageTally:
    """What one stage did to one unit: ``came_in == went_on + dropped``. ``seconds`` is wall-clock.

    ``phrases_left_out``: phrases of the samples that went on which did not go on with them. ``computing_seconds`` and
    ``elapsed_seconds``: of a stage that measures itself, how long it computed, and the time since its unit before.
    """

    stage: str
    came_in: int
    went_on: int
    seconds: float
    phrases_left_out: int = 0
    computing_seconds: float = 0.0
    elapsed_seconds: float = 0.0

    arrow_type: ClassVar[pa.DataType] = pa.struct(
        [
            ("stage", pa.string()),
            ("came_in", pa.int64()),
            ("went_on", pa.int64()),
            ("seconds", pa.float64()),
            ("phrases_left_out", pa.int64()),
            ("computing_seconds", pa.float64()),
            ("elapsed_seconds", pa.float64()),
        ]
    )


@dataclass(frozen=True, slots=True)
class Unit(Generic[Record]):
    """The records of one source slice on their way through the stages, with what was dropped so far and the tallies.

    A stage is a callable ``Unit[A] -> Unit[B]``; it never changes ``ref``. One unit is one row between processes, one
    shard, one manifest.
    """

    ref: UnitRef
    records: tuple[Record, ...]
    rejects: tuple[Reject, ...] = ()
    tallies: tuple[StageTally, ...] = ()

    def advance(
        self,
        stage: str,
        outcomes: Iterable[Next | Reject],
        seconds: float,
        *,
        computing_seconds: float = 0.0,
        elapsed_seconds: float = 0.0,
    ) -> Unit[Next]:
        """The unit after ``stage`` gave ``outcomes``, one for each record; refuses to lose or invent a sample. The
        times as in :class:`StageTally`."""
        results = list(outcomes)
        if len(results) != len(self.records):
            raise RuntimeError(
                f"stage {stage!r} took {len(self.records)} records of unit {self.ref.index} and gave {len(results)} "
                "outcomes; a stage returns one record or one Reject for each record"
            )
        dropped = tuple(result for result in results if isinstance(result, Reject))
        kept = tuple(result for result in results if not isinstance(result, Reject))
        left_out = sum(_left_out(before, after) for before, after in zip(self.records, results, strict=True))
        tally = StageTally(stage, len(results), len(kept), seconds, left_out, computing_seconds, elapsed_seconds)
        return Unit(self.ref, kept, self.rejects + dropped, (*self.tallies, tally))


def _left_out(before: object, after: object) -> int:
    """Phrases that a sample had before a stage and not after it; 0 where it had none yet, or was dropped whole."""
    if isinstance(after, Reject) or not hasattr(before, "phrases") or not hasattr(after, "phrases"):
        return 0
    return len(before.phrases) - len(after.phrases)
