"""``report.json``: everything that the report's page shows, but for the pictures.

Its JSON Schema is published as ``docs/report.schema.json``.
"""

from __future__ import annotations

import json
from typing import Literal

from schemas.dataset_comparison import DatasetComparison
from schemas.dataset_report import DatasetReport
from schemas.reports import Document, EvaluationReport, PromotionDecision, PseudoLabelReport


class Report(Document):
    """The whole document. ``comparison`` is there where two datasets were compared."""

    format: Literal["glip-engine/report/2"] = "glip-engine/report/2"
    datasets: list[DatasetReport]
    comparison: DatasetComparison | None = None
    evaluations: dict[str, list[EvaluationReport]] = {}
    decision: PromotionDecision | None = None
    quality: PseudoLabelReport | None = None


def report_schema() -> str:
    """The JSON Schema of ``report.json``, as it stands in ``docs/report.schema.json``."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Report.model_json_schema(mode="serialization"),
    }
    return json.dumps(schema, indent=2) + "\n"
