"""Units and stages of a labelling job: what went through, how long it took, what it cost, which units were slowest.

In: the manifests of whole units, as rows of ``units``, ``stages`` and ``drops``. Out: the funnel and its numbers.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from engine.statistics.histograms import Distribution, histogram
from engine.statistics.numbers import DIGITS, NumberQuery, run_query
from engine.statistics.tables import StatisticsTables
from schemas.dataset_report import Histogram, StageTime, Statistic, UnitTime
from schemas.reports import StageCounts
from schemas.shards import ShardManifest

SLOWEST = 20
SECONDS_BINS = 20
UNITS_AT_ONCE = 1_000  # whose rows are Python objects at a time
_UNITS = pa.schema(
    [
        ("unit", pa.int32()),
        ("source_uri", pa.string()),
        *((name, pa.int64()) for name in ("rows", "samples", "phrases", "boxes", "rejects")),
        ("seconds", pa.float64()),
        ("worker", pa.string()),
    ]
)
_STAGES = pa.schema(
    [
        ("unit", pa.int32()),
        ("place", pa.int32()),
        ("stage", pa.string()),
        *((name, pa.int64()) for name in ("came_in", "went_on", "phrases_left_out")),
        *((name, pa.float64()) for name in ("seconds", "computing_seconds", "elapsed_seconds")),
    ]
)
_DROPS = pa.schema([("unit", pa.int32()), ("stage", pa.string()), ("reason", pa.string()), ("count", pa.int64())])
_TABLES = {"units": _UNITS, "stages": _STAGES, "drops": _DROPS}

NUMBERS = (
    NumberQuery(
        "source_pairs", "Source pairs", "funnel", "pairs",
        "SELECT coalesce(sum(rows), 0) FROM units",
        "Rows of the source in the units that are done.",
    ),
    NumberQuery(
        "samples", "Stored samples", "funnel", "samples",
        "SELECT coalesce(sum(samples), 0) FROM units",
        "Samples in the shards; those that a teacher labelled have a candidate box above the recipe's floor.",
    ),
    NumberQuery(
        "parsed_phrases", "Parsed phrases", "funnel", "phrases",
        "SELECT coalesce(sum(phrases), 0) FROM units",
        "Noun phrases of the stored samples, with or without a box.",
    ),
    NumberQuery(
        "candidate_boxes", "Candidate boxes", "funnel", "boxes",
        "SELECT coalesce(sum(boxes), 0) FROM units",
        "Stored candidates, before the selection.",
    ),
    NumberQuery(
        "rejected_pairs", "Rejects", "funnel", "pairs",
        "SELECT coalesce(sum(rejects), 0) FROM units",
        "Rows of the tables of rejects: source pairs that a stage dropped, and boxes that an import dropped.",
    ),
    NumberQuery(
        "pairs_per_second", "Pairs per second", "cost", "pairs / s",
        "SELECT sum(rows) / nullif(sum(seconds), 0) FROM units",
        "Source pairs divided by the seconds that their units took, added up over workers.",
    ),
    NumberQuery(
        "work_seconds", "Seconds of work", "cost", "s",
        "SELECT nullif(sum(seconds), 0) FROM units",
        "Wall-clock seconds that the units took, added up over workers. An import does not measure them.",
    ),
    NumberQuery(
        "seconds_per_unit", "Seconds per unit", "cost", "s",
        "SELECT nullif(avg(seconds), 0) FROM units",
        "Mean of the wall-clock seconds that a unit took.",
    ),
    NumberQuery(
        "median_seconds_per_unit", "Median seconds per unit", "cost", "s",
        "SELECT nullif(median(seconds), 0) FROM units",
        "Median of the wall-clock seconds that a unit took.",
    ),
)  # fmt: skip
_COST = "Seconds of work, in hours, times the given price of a worker's hour: {price}."


class UnitRows:
    """The rows of ``units``, ``stages`` and ``drops``, added manifest by manifest. They are held as columns: the
    manifests of a large dataset would take many times as much memory."""

    def __init__(self) -> None:
        self._rows: dict[str, list[dict[str, object]]] = {name: [] for name in _TABLES}
        self._tables: dict[str, list[pa.Table]] = {name: [] for name in _TABLES}

    def add(self, one: ShardManifest) -> None:
        """Add the rows of one unit."""
        self._rows["units"].append({name: getattr(one, name) for name in _UNITS.names})
        for place, stage in enumerate(one.stages):
            counts = {name: getattr(stage, name) for name in _STAGES.names[2:]}
            self._rows["stages"].append({"unit": one.unit, "place": place, **counts})
            for reason, count in stage.dropped.items():
                drop = {"unit": one.unit, "stage": stage.stage, "reason": reason, "count": count}
                self._rows["drops"].append(drop)
        if len(self._rows["units"]) == UNITS_AT_ONCE:
            self._pack()

    def fill(self, tables: StatisticsTables, counted: Collection[int]) -> None:
        """Fill the tables with the rows of the units ``counted``; the others turned out not to be whole."""
        self._pack()
        numbers = pa.array(list(counted), pa.int32())
        for name, packed in self._tables.items():
            table = pa.concat_tables(packed)
            rows = table.filter(pc.is_in(table["unit"], value_set=numbers))
            tables.execute_on(rows, f"CREATE TABLE {name} AS SELECT * FROM arriving")

    def _pack(self) -> None:
        for name, schema in _TABLES.items():
            self._tables[name].append(pa.Table.from_pylist(self._rows[name], schema))
            self._rows[name].clear()


def funnel(tables: StatisticsTables) -> list[StageCounts]:
    """Counts of the stages over all units, in flow order."""
    dropped: dict[str, dict[str, int]] = {}
    sums = "SELECT stage, reason, sum(count)::BIGINT FROM drops GROUP BY stage, reason ORDER BY stage, reason"
    for stage, reason, count in tables.rows(sums):
        dropped.setdefault(stage, {})[reason] = count
    names = _STAGES.names[3:]
    rows = tables.rows(
        f"SELECT stage, {', '.join(f'sum({name})' for name in names)} FROM stages GROUP BY stage "
        "ORDER BY min(unit), arg_min(place, unit)"
    )
    return [
        StageCounts(
            stage=stage,
            dropped=dropped.get(stage, {}),
            **{name: round(value, DIGITS) for name, value in zip(names, values, strict=True)},
        )
        for stage, *values in rows
    ]


def unit_numbers(tables: StatisticsTables, price_per_hour: float | None) -> list[Statistic]:
    """The numbers that come from the manifests, before any selection; the cost only where a price is given."""
    queries = list(NUMBERS)
    if price_per_hour is not None:
        price = repr(float(price_per_hour))
        total, definition = f"SELECT nullif(sum(seconds), 0) / 3600 * {price}", _COST.format(price=price)
        per_unit, million = f"{total} / nullif(count(*), 0)", f"{total} / nullif(sum(rows), 0) * 1000000"
        queries += [
            NumberQuery(name, title, "cost", "price", f"{sql} FROM units", definition + divided)
            for name, title, sql, divided in (
                ("cost", "Cost", total, ""),
                ("cost_per_unit", "Cost per unit", per_unit, " Per unit."),
                ("cost_per_million_pairs", "Cost per million pairs", million, " Per pair."),
            )
        ]
    return [run_query(tables, one) for one in queries]


def unit_seconds(tables: StatisticsTables) -> Histogram | None:
    """The distribution of the units' seconds; None where no unit took any."""
    [longest] = tables.one("SELECT max(seconds) FROM units")
    if not longest:
        return None
    width = 10.0 ** math.floor(math.log10(longest / SECONDS_BINS))
    width *= next(step for step in (1, 2, 5, 10) if width * step * SECONDS_BINS >= longest)
    return histogram(
        tables,
        Distribution(
            "unit_seconds",
            "Seconds per unit",
            "cost",
            "s",
            "SELECT seconds AS v FROM units",
            0.0,
            round(width, DIGITS),
            SECONDS_BINS,
            "Units by the wall-clock seconds that they took.",
            open_end=True,
        ),
    )


def slowest_units(tables: StatisticsTables) -> list[UnitTime]:
    """The units that took longest."""
    rows = tables.rows(
        "SELECT unit, source_uri, rows, boxes, seconds, seconds / nullif(rows, 0), worker FROM units "
        f"WHERE seconds > 0 ORDER BY seconds DESC, unit LIMIT {SLOWEST}"
    )
    return [UnitTime(**dict(zip(UnitTime.model_fields, row, strict=True))) for row in rows]


def stage_times(stages: Sequence[StageCounts]) -> list[StageTime]:
    """Seconds of work by stage."""
    return [
        StageTime(
            stage=one.stage,
            seconds=one.seconds,
            seconds_per_sample=round(one.seconds / one.came_in, DIGITS) if one.came_in else None,
        )
        for one in stages
        if one.seconds > 0
    ]
