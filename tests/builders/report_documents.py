"""A report in which every part of the document is there: for tests of the page, which show whatever a report says."""

from __future__ import annotations

from typing import Any

from schemas.calibration import Reliability, ReliabilityBin
from schemas.dataset_comparison import ComparedNumber, DatasetComparison, Drift, PhraseChange, VocabularyOverlap
from schemas.dataset_report import (
    CalibratedGroup,
    CalibrationSummary,
    CaptionSample,
    DatasetReport,
    HeatMap,
    Histogram,
    HostFailures,
    LanguageCount,
    SizeCount,
    StageTime,
    Statistic,
    TableDefinition,
    UnitProblem,
    UnitRejects,
    UnitTime,
    Wholeness,
)
from schemas.dataset_vocabulary import (
    GrowthPoint,
    HeadCount,
    Novelty,
    PaperFigure,
    PhraseCount,
    VocabularyGrowth,
    ZipfFit,
)
from schemas.report_document import Report

SQL = "SELECT count(*) FROM boxes WHERE x1 < 3 AND phrase <> '</script>'"


def full_report(of: DatasetReport, hostile: str) -> Report:
    """``of`` with everything else that a report may say; ``hostile`` is wherever text of the data may be."""
    return Report(datasets=[of.model_copy(update=_everything(of, hostile))], comparison=_comparison(hostile))


def _everything(of: DatasetReport, hostile: str) -> dict[str, Any]:
    return {
        "dataset": hostile,
        "whole": Wholeness(
            units_planned=9,
            units_found=8,
            units_counted=7,
            problem_count=1,
            problems=[UnitProblem(unit=3, file=hostile, problem=hostile)],
            messages=["Two units are not whole; run `glip-engine verify`."],
        ),
        "numbers": [*of.numbers, *_numbers()],
        "tables": [TableDefinition(name="boxes", definition="One row a box.", sql=SQL, rows=12)],
        "unit_rejects": [UnitRejects(unit=2, stage="read", reason="image_unreadable", count=4)],
        "link_rot": [HostFailures(host=hostile, rows=9, reasons={"http_404": 8, "timeout": 1})],
        "heat_maps": [HeatMap(name="centres", title="Centres", definition="Of boxes.", sql=SQL, counts=_grid())],
        "image_sizes": [SizeCount(width=640, height=480, images=9), SizeCount(width=480, height=640, images=2)],
        "captions": _captions(),
        "calibration": _calibration(),
        "unit_seconds": _uneven("unit_seconds", "Seconds a unit", "cost"),
        "slowest_units": [
            UnitTime(unit=1, source_uri=hostile, rows=9, boxes=8, seconds=7.5, seconds_per_row=0.8, worker="host:1")
        ],
        "stage_times": [StageTime(stage="ground", seconds=70.5, seconds_per_sample=0.75)],
        **_vocabulary(hostile),
    }


def _numbers() -> list[Statistic]:
    return [
        Statistic(name=f"of_{section}", title=f"Of {section}", value=0.25, definition="A share.", sql=SQL, **more)
        for section, more in (
            ("funnel", {"section": "funnel"}),
            ("review", {"section": "review", "unit": "share"}),
            ("scores", {"section": "scores", "unit": "share"}),
            ("images", {"section": "images"}),
            ("duplicates", {"section": "duplicates", "unit": "share"}),
            ("cost", {"section": "cost", "unit": "s"}),
        )
    ]


def _grid() -> list[list[int]]:
    return [[row * column for column in range(16)] for row in range(16)]


def _uneven(name: str, title: str, section: Any) -> Histogram:
    edges = [0, 1, 2, 5, 10, 20]
    return Histogram(
        name=name, title=title, unit="s", edges=edges, counts=[0, 3, 9, 4, 1], open_end=True, section=section
    )


def _captions() -> CaptionSample:
    words = Histogram(
        name="words", title="Words", unit="words", edges=[0, 5, 10, 15], counts=[3, 5, 1], section="captions"
    )
    languages = [LanguageCount(language="en", captions=8), LanguageCount(language="ar", captions=1)]
    return CaptionSample(captions=9, units=3, words=words, languages=languages, definition="By py3langid.")


def _calibration() -> CalibrationSummary:
    bins = [
        ReliabilityBin(low=0.1 * n, high=0.1 * n + 0.1, boxes=n, predicted=0.1 * n, precision=0.08 * n)
        for n in range(9)
    ]
    found = Reliability(error=0.04, bins=bins)
    groups = [
        CalibratedGroup(group="tail/small", min_score=None, candidate_boxes=9, boxes=0),
        CalibratedGroup(group="head/large", min_score=0.4, candidate_boxes=9, boxes=5),
    ]
    return CalibrationSummary(calibration="c" * 64, precision=0.7, groups=groups, raw=found, calibrated=found)


def _vocabulary(hostile: str) -> dict[str, Any]:
    points = [GrowthPoint(images=10**n, occurrences=13 * 10**n, unique_phrases=5 * 4**n) for n in range(1, 5)]
    phrases = [PhraseCount(text=hostile, occurrences=9, images=8, boxes=7, new=True)]
    heads = [HeadCount(head_lemma=hostile, occurrences=9, unique_phrases=4, boxes=7, mean_score=0.5)]
    law = VocabularyGrowth(points=points, exponent=0.6, scale=1.1, r_squared=0.99, definition="Heaps' law.", sql=SQL)
    figure = PaperFigure(
        name="unique_phrases", title="Unique phrases", here=138, extrapolated=5e6, paper=58.4e6, definition="By Heaps."
    )
    return {
        "rank_frequency": [(1, 100), (10, 10), (100, 1)],
        "zipf": ZipfFit(exponent=1, scale=100, r_squared=0.99, first_rank=1, last_rank=100, definition="Zipf's law."),
        "vocabulary_growth": law,
        "paper": [figure],
        "head_phrases": phrases,
        "tail_phrases": phrases,
        "head_lemmas": heads,
        "novelty": Novelty(
            human_datasets=[hostile],
            human_phrases=5,
            new_phrases=3,
            new_share=0.6,
            new_occurrences=4,
            new_occurrence_share=0.2,
            new_heads=1,
            phrases=phrases,
            heads=heads,
            definition="By text.",
            sql=SQL,
        ),
    }


def _comparison(hostile: str) -> DatasetComparison:
    drift = Drift(
        name="scores",
        title="Scores",
        unit="score",
        bins=["<b>low</b>", "0.6–0.7"],
        before=[5, 4],
        after=[2, 9],
        jensen_shannon=0.11,
        psi=0.31,
        definition="Shares of boxes.",
    )
    change = PhraseChange(text=hostile, before=1, after=9, before_per_million=10, after_per_million=90, bits=0.01)
    number = ComparedNumber(
        name="boxes", title="Boxes", before=9, after=11, difference=2, ratio=1.22, definition="Selected boxes."
    )
    return DatasetComparison(
        before=hostile,
        after="after",
        before_selection="glip",
        after_selection=None,
        difference="Another teacher.",
        numbers=[number],
        drifts=[drift],
        vocabulary=VocabularyOverlap(both=3, before_only=2, after_only=1, jaccard=0.5),
        phrases=[change],
        heads=[change],
        definition="Before against after.",
    )
