"""What is in a dataset: the document that the report's page, its Markdown and ``report.json`` are made from.

One class an idea, :class:`DatasetReport` last. Every number carries its definition, and its SQL where it was asked of
tables: the tables themselves are told in ``DatasetReport.tables``. What nobody knows is None or absent, never zero.
The JSON Schema of the whole ``report.json`` is published as ``docs/report.schema.json``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from schemas.calibration import Reliability
from schemas.dataset_vocabulary import HeadCount, Novelty, PaperFigure, PhraseCount, VocabularyGrowth, ZipfFit
from schemas.reports import Document, StageCounts

Section = Literal["funnel", "size", "review", "phrases", "scores", "boxes", "images", "captions", "duplicates", "cost"]


class RejectCount(Document):
    """Samples that a stage dropped for one reason, with the message of one of them."""

    stage: str
    reason: str
    count: int
    example: str


class UnitRejects(Document):
    """Samples that a stage dropped for one reason in one unit."""

    unit: int
    stage: str
    reason: str
    count: int


class Statistic(Document):
    """One number of a dataset with what it means and, where it was asked of tables, the SQL. None: not known."""

    name: str
    title: str
    value: float | None
    definition: str
    sql: str | None = None
    section: Section = "size"
    unit: str = Field(default="", description="what it counts or is measured in, as 'boxes', 's', 'share'")


class TableDefinition(Document):
    """A table that the SQL of the numbers asks: what a row is, its columns, and how it was made."""

    name: str
    definition: str
    sql: str
    rows: int


class Histogram(Document):
    """Counts by bin: ``counts[i]`` things lie in ``[edges[i], edges[i + 1])``, the last bin with its upper edge; where
    ``open_end``, also all beyond it, and where ``open_start``, the first also with all below it."""

    name: str
    title: str
    unit: str
    edges: list[float]
    counts: list[int]
    open_end: bool = False
    open_start: bool = False
    definition: str = ""
    sql: str | None = None
    section: Section = "size"

    @model_validator(mode="after")
    def _edges_enclose_counts(self) -> Histogram:
        if len(self.edges) != len(self.counts) + 1:
            raise ValueError(f"histogram {self.name!r}: {len(self.counts)} counts need {len(self.counts) + 1} edges")
        return self


class HeatMap(Document):
    """Counts by place in the image, which is stretched to a square: ``counts[row][column]``, from the top left on."""

    name: str
    title: str
    definition: str
    sql: str
    counts: list[list[int]]


class SizeCount(Document):
    """Images of one size in pixels."""

    width: int
    height: int
    images: int


class LanguageCount(Document):
    """Captions of a sample that are most probably in this language (ISO 639-1)."""

    language: str
    captions: int


class CaptionSample(Document):
    """The lengths and languages of a sample of captions; the tables hold no captions. ``captions`` were read, at even
    spaces through ``units`` units. ``languages`` is empty where ``language_unknown`` says why."""

    captions: int
    units: int
    characters: Histogram | None = None
    words: Histogram | None = None
    languages: list[LanguageCount] = []
    language_unknown: str | None = None
    definition: str = ""


class CalibratedGroup(Document):
    """The lowest score that a calibrated selection asks of one group of boxes (``tail/small``), and what it kept of
    them."""

    group: str
    min_score: float | None
    candidate_boxes: int
    boxes: int


class CalibrationSummary(Document):
    """The calibration that selected the boxes: its digest, its target, what it keeps by group, and what its held-out
    half said of raw and of calibrated scores."""

    calibration: str
    precision: float
    groups: list[CalibratedGroup]
    raw: Reliability | None = None
    calibrated: Reliability | None = None


class HostFailures(Document):
    """Rows of a list of urls that a host did not serve, in total and by reason, the most frequent first."""

    host: str
    rows: int
    reasons: dict[str, int]


class UnitTime(Document):
    """A unit by the time that it took: wall-clock seconds of all its stages on its worker."""

    unit: int
    source_uri: str
    rows: int
    boxes: int
    seconds: float
    seconds_per_row: float | None
    worker: str = ""


class StageTime(Document):
    """Seconds of work on one stage, over all units, and on one sample that came in."""

    stage: str
    seconds: float
    seconds_per_sample: float | None


class UnitProblem(Document):
    """Why a unit is not counted, or not in full: ``file`` by its path inside the dataset."""

    unit: int
    file: str
    problem: str


class Wholeness(Document):
    """Which units the report covers.

    ``units_counted`` of the ``units_found`` (all numbers that a file of the dataset names) are in it; ``units_planned``
    is the card's number. ``problems`` is bounded, ``problem_count`` is not.
    """

    units_planned: int | None = None
    units_found: int = 0
    units_counted: int = 0
    problem_count: int = 0
    problems: list[UnitProblem] = []
    messages: list[str] = Field(default=[], description="what a reader is to know before trusting the numbers")


class DatasetReport(Document):
    """Statistics of one dataset under one selection."""

    dataset: str
    origin: str
    task: str
    selection: str | None = Field(description="preset applied to the boxes; none for human boxes")
    complete: bool
    units: int
    source_fingerprint: str
    recipe_digest: str
    teacher_digest: str | None
    whole: Wholeness = Wholeness()
    stages: list[StageCounts] = Field(description="the funnel, in samples; its last stage is the selection")
    box_selection: StageCounts | None = Field(description="candidate boxes through the selection's rules")
    rejects: list[RejectCount]
    unit_rejects: list[UnitRejects] = Field(default=[], description="the units with most rejects of a reason; bounded")
    link_rot: list[HostFailures] = Field(default=[], description="hosts with most failures; bounded")
    numbers: list[Statistic]
    tables: list[TableDefinition] = []
    histograms: list[Histogram]
    heat_maps: list[HeatMap] = []
    image_sizes: list[SizeCount] = Field(default=[], description="the most frequent ones; bounded")
    captions: CaptionSample | None = None
    calibration: CalibrationSummary | None = None
    head_phrases: list[PhraseCount]
    tail_phrases: list[PhraseCount]
    head_lemmas: list[HeadCount] = Field(default=[], description="the most frequent ones; bounded")
    rank_frequency: list[tuple[int, int]] = Field(description="(rank, occurrences) of phrases, at spaced ranks")
    zipf: ZipfFit | None = None
    vocabulary_growth: VocabularyGrowth | None = None
    paper: list[PaperFigure] = Field(default=[], description="beside the figures of the GLIP paper at 24M pairs")
    novelty: Novelty | None = Field(default=None, description="None where no human vocabulary was given")
    unit_seconds: Histogram | None = None
    slowest_units: list[UnitTime] = []
    stage_times: list[StageTime] = []

    def with_message(self, message: str | None) -> DatasetReport:
        """The report with one more message for its reader; the report itself where ``message`` is None."""
        if message is None:
            return self
        whole = self.whole.model_copy(update={"messages": [*self.whole.messages, message]})
        return self.model_copy(update={"whole": whole})

    def number(self, name: str) -> float | None:
        """The value of the statistic ``name``; KeyError names the statistics there are."""
        values = {one.name: one.value for one in self.numbers}
        if name not in values:
            raise KeyError(f"no statistic {name!r} in this report; there are: {', '.join(values)}")
        return values[name]
