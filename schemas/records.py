"""The flow, top to bottom: what each stage of the labelling job takes and what it gives.

    CaptionedImage > ParsedCaption > GroundingRequest > Grounding > PseudoLabel

Each record adds what its stage found out to the one before, so the type says which stages a sample has passed.
A sample that a stage drops becomes a :class:`Reject`. Records of one source slice travel together as a :class:`Unit`.

Boxes are ``xyxy`` float pixels of the original image, as stored (EXIF orientation is not applied).
Spans are half-open character offsets: ``caption[start:end] == phrase.text``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar

BoxXYXY = tuple[float, float, float, float]
Cell = str | int | float | bool


class FlowRecord:
    """Base of what travels between processes. It is pickled by its fields alone, which is faster than the default
    pickling of dataclasses with slots."""

    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]]

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), tuple(getattr(self, name) for name in self.__match_args__)


@dataclass(frozen=True, slots=True)
class Phrase(FlowRecord):
    """A noun phrase of a caption. ``head_lemma`` is the lower-case lemma of its head noun ("two dogs" > "dog")."""

    text: str
    start: int
    end: int
    head_lemma: str


@dataclass(frozen=True, slots=True)
class PromptSpan(FlowRecord):
    """Where phrase number ``phrase`` of the sample stands in one prompt; half-open characters of the prompt."""

    phrase: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Prompt(FlowRecord):
    """A text that fits the teacher's token budget, and the phrases to be grounded in it."""

    text: str
    spans: tuple[PromptSpan, ...]


@dataclass(frozen=True, slots=True)
class Candidate(FlowRecord):
    """A box the teacher proposes for phrase number ``phrase``; ``score`` in [0, 1], raw.

    ``agreement`` is an ensemble's: IoU of the boxes of its two teachers, 0 where only one has it; None otherwise.
    """

    phrase: int
    box_xyxy: BoxXYXY
    score: float
    agreement: float | None = None


@dataclass(frozen=True, slots=True)
class CaptionedImage(FlowRecord):
    """A sample as the source has it. ``image`` is the encoded file, untouched; ``extension`` names its format ("jpg");
    ``locator`` says where it came from (``00000.tar#000000012``).

    ``sha256`` and ``phash`` (perceptual hash) identify the picture, in hexadecimal digits. Both are None until
    ``engine.filtering.image_identity.identified`` has computed them; ``phash`` stays None for a picture that has no
    hash, such as a blank one. ``columns`` are the source's own cells that the recipe asks to ``carry``.
    """

    key: str
    image: bytes = field(repr=False)
    extension: str
    caption: str
    locator: str
    sha256: str | None = None
    phash: str | None = None
    columns: dict[str, Cell] | None = None


@dataclass(frozen=True, slots=True)
class ParsedCaption(FlowRecord):
    """A sample whose caption has been parsed: at least one phrase, in order of their start."""

    source: CaptionedImage
    phrases: tuple[Phrase, ...]


@dataclass(frozen=True, slots=True)
class GroundingRequest(FlowRecord):
    """A question to the teacher: each phrase stands in at least one of the prompts."""

    source: CaptionedImage
    phrases: tuple[Phrase, ...]
    prompts: tuple[Prompt, ...]


@dataclass(frozen=True, slots=True)
class Grounding(FlowRecord):
    """The teacher's raw answer; ``candidates`` may be empty. ``width`` and ``height`` of the stored image in pixels."""

    source: CaptionedImage
    phrases: tuple[Phrase, ...]
    width: int
    height: int
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class PseudoLabel(Grounding):
    """A grounding that a selection has passed: at least one candidate, and only those that the selection keeps."""


@dataclass(frozen=True, slots=True)
class Answer(FlowRecord):
    """What an evaluated grounder answers to the human-annotated sample ``key``: candidates, perhaps none, numbered by
    its gold phrases or by the classes of its dataset."""

    key: str
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Reject(FlowRecord):
    """A sample that was not labelled, and why: ``reason`` is a fixed word to count by, ``message`` is for a person."""

    key: str
    stage: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class UnitRef(FlowRecord):
    """A slice of the source and the name of its output shard: rows ``[first_row, first_row + rows)`` of ``uri``."""

    index: int
    uri: str
    first_row: int
    rows: int


Record = TypeVar("Record")
Next = TypeVar("Next")


@dataclass(frozen=True, slots=True)
class StageTally(FlowRecord):
    """What one stage did to one unit: ``came_in == went_on + dropped``. ``seconds`` is wall-clock.

    ``phrases_left_out``: phrases that the stage took out of samples that went on. A stage that measures itself, as one
    with a model does, also gives ``computing_seconds``, in which the model computed, and ``elapsed_seconds``, the time
    since it ended its unit before; other stages have 0 for both.
    """

    stage: str
    came_in: int
    went_on: int
    seconds: float
    phrases_left_out: int = 0
    computing_seconds: float = 0.0
    elapsed_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Unit(FlowRecord, Generic[Record]):
    """The records of one source slice on their way through the stages, with what was dropped so far and the tallies.

    A stage is a callable ``Unit[A] -> Unit[B]``; it never changes ``ref``. One unit is one object between processes,
    one shard, one manifest.
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
        """The unit after ``stage`` gave ``outcomes``, one for each record. RuntimeError where their number differs, so
        that no sample is lost or invented. The times are those of :class:`StageTally`."""
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
