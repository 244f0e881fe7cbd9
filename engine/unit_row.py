"""A unit on its way between two processes: one Arrow row, so that its records, rejects and tallies are never separated.

In: a unit of any record type of the flow. Out: a table of one row whose columns are lists of structs, and back.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from schemas.plain_records import from_plain, to_plain
from schemas.records import Reject, StageTally, Unit, UnitRef


def unit_to_arrow(unit: Unit[Any], record_type: Any) -> pa.Table:
    """A unit as a table of one row; its records have the ``arrow_type`` of ``record_type``."""
    schema = pa.schema(
        [
            ("ref", UnitRef.arrow_type),
            ("records", pa.list_(record_type.arrow_type if record_type is not int else pa.int64())),
            ("rejects", pa.list_(Reject.arrow_type)),
            ("tallies", pa.list_(StageTally.arrow_type)),
        ]
    )
    return pa.Table.from_pylist([to_plain(unit)], schema)


def unit_from_arrow(table: pa.Table, record_type: Any) -> Unit[Any]:
    """The inverse of :func:`unit_to_arrow`."""
    plain = table.to_pylist()[0]
    records = plain["records"]
    return Unit(
        UnitRef(**plain["ref"]),
        tuple(records if record_type is int else (from_plain(record_type, record) for record in records)),
        tuple(Reject(**reject) for reject in plain["rejects"]),
        tuple(StageTally(**tally) for tally in plain["tallies"]),
    )
