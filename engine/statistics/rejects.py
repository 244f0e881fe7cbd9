"""What was not labelled, by reason, by unit and by host of its url, from the tables of rejects: out of core.

In: a store and its whole units. Out: a table ``rejects`` of counts, and what the report says of it. A table that is
missing or broken costs its unit the examples and the hosts; the manifests still have its counts by reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from engine.artifacts import Store
from engine.dataset.annotation_tables import StoredTable, TableFault, read_unit_tables
from engine.dataset.shard_files import rejects_name
from engine.dataset.wholeness import Examination
from engine.statistics.tables import StatisticsTables
from schemas.dataset_report import HostFailures, RejectCount, UnitProblem, UnitRejects
from schemas.shards import REJECT_SCHEMA

MAX_EXAMPLE_CHARS = 300
HOSTS, UNITS = 50, 100
UNITS_AT_ONCE = 200  # whose rows are inserted together
COLUMNS = "unit INTEGER, place BIGINT, stage VARCHAR, reason VARCHAR, host VARCHAR, count BIGINT, example VARCHAR"
_ORIGIN = r"^(?P<origin>https?://[^/?#\s]*)"
_SCHEMA = pa.schema([(name, REJECT_SCHEMA.field(name).type) for name in ("stage", "reason", "message")])


def fill_rejects(tables: StatisticsTables, store: Store, found: Examination) -> None:
    """Fill ``rejects``: a row for each stage, reason and host of each unit; ``place`` rises in their order."""
    tables.create("rejects", COLUMNS)
    counted = _counted(store, found)
    while some := list(islice(counted, UNITS_AT_ONCE)):
        tables.insert("rejects", pa.concat_tables(some))


def _counted(store: Store, found: Examination) -> Iterator[pa.Table]:
    """The counts for each unit that has rejects. Tables that do not match their manifest are reported to ``found``."""
    units = [unit for unit, manifest in sorted(found.manifests.items()) if manifest.rejects]
    told = {one.file for one in found.problems}
    for stored in read_unit_tables(store, units, _SCHEMA, rejects_name):
        unit, wanted = stored.unit, found.manifests[stored.unit].rejects
        if isinstance(stored, TableFault):
            problem = stored.problem
        elif len(stored.table) != wanted:
            problem = f"it has {len(stored.table)} rows, its manifest says {wanted}"
        else:
            yield _counts(stored)
            continue
        if rejects_name(unit) not in told:
            found.problems.append(UnitProblem(unit=unit, file=rejects_name(unit), problem=problem))


def _counts(stored: StoredTable) -> pa.Table:
    table = stored.table.combine_chunks()
    origin = pc.struct_field(pc.extract_regex(table["message"], pattern=_ORIGIN), "origin")
    grouped = (
        table.append_column("origin", origin)
        .group_by(["stage", "reason", "origin"], use_threads=False)
        .aggregate([("message", "count", pc.CountOptions(mode="all")), ("message", "first")])
    )
    return pa.table(
        {
            "unit": pa.array([stored.unit] * len(grouped), pa.int32()),
            "place": pa.array(range(stored.unit << 32, (stored.unit << 32) + len(grouped)), pa.int64()),
            "stage": grouped["stage"],
            "reason": grouped["reason"],
            "host": pa.array([host_of(one) for one in grouped["origin"].to_pylist()], pa.string()),
            "count": grouped["message_count"],
            "example": pc.utf8_slice_codeunits(grouped["message_first"], 0, MAX_EXAMPLE_CHARS),
        }
    )


@lru_cache(maxsize=65536)
def host_of(message: str | None) -> str | None:
    """The host of the url that a reject's message begins with; None where it begins with none."""
    if message is None or not message.startswith(("http://", "https://")):
        return None
    try:
        return urlsplit(message.partition(": ")[0]).hostname
    except ValueError:
        return None


def reject_counts(tables: StatisticsTables) -> list[RejectCount]:
    """Rejects by stage and reason, most frequent first, with the message of the first one."""
    rows = tables.rows(
        "SELECT stage, reason, sum(count)::BIGINT AS count, arg_min(example, place) FROM rejects "
        "GROUP BY stage, reason ORDER BY count DESC, stage, reason"
    )
    return [
        RejectCount(stage=stage, reason=reason, count=count, example=example or "")
        for stage, reason, count, example in rows
    ]


def unit_rejects(tables: StatisticsTables) -> list[UnitRejects]:
    """The units with most rejects of a stage and reason."""
    rows = tables.rows(
        "SELECT unit, stage, reason, sum(count)::BIGINT AS count FROM rejects GROUP BY unit, stage, reason "
        f"ORDER BY count DESC, unit, stage, reason LIMIT {UNITS}"
    )
    return [UnitRejects(unit=unit, stage=stage, reason=reason, count=count) for unit, stage, reason, count in rows]


def worst_hosts(tables: StatisticsTables) -> list[HostFailures]:
    """The hosts with most rows that the reading of a list of urls rejected."""
    hosts = (
        "SELECT host, sum(count)::BIGINT AS rows FROM rejects WHERE host IS NOT NULL AND stage = 'read' GROUP BY host "
        f"ORDER BY rows DESC, host LIMIT {HOSTS}"
    )
    found = []
    for host, rows in tables.rows(hosts):
        reasons = tables.rows(
            "SELECT reason, sum(count)::BIGINT AS rows FROM rejects WHERE host = ? AND stage = 'read' GROUP BY reason "
            "ORDER BY rows DESC, reason",
            [host],
        )
        found.append(HostFailures(host=host, rows=rows, reasons=dict(reasons)))
    return found
