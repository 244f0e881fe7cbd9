"""What the units of a job add up to: sums of parts are the sum of all, and no part is changed by adding it."""

from __future__ import annotations

from pipelines.labelling.totals import Totals
from schemas.reports import StageCounts
from schemas.shards import ShardManifest


def unit(number: int, **dropped: int) -> ShardManifest:
    lost = sum(dropped.values())
    read = StageCounts(stage="read", came_in=10, went_on=10 - lost, dropped=dropped, seconds=0.5)
    ground = StageCounts(
        stage="ground", came_in=10 - lost, went_on=10 - lost, computing_seconds=3.0, elapsed_seconds=4.0 + 4 * number
    )
    counts = {"samples": 10 - lost, "phrases": 20, "boxes": 30 + number, "rejects": lost}
    fields = {"source_uri": "u", "first_row": 10 * number, "rows": 10, "work_digest": "w", "files": []}
    return ShardManifest(unit=number, stages=[read, ground], first_key=None, last_key=None, **fields, **counts)


def totals(*units: ShardManifest) -> Totals:
    found = Totals()
    for one in units:
        found.add(one)
    return found


UNITS = [unit(0, http_404=2, timeout=1), unit(1, http_404=3), unit(2)]


def test_sums_of_parts_are_those_of_one_pass_and_the_parts_stay_as_they_are() -> None:
    first, rest = totals(UNITS[0]), totals(*UNITS[1:])
    assert first + rest == rest + first == totals(*UNITS)
    assert (first, rest) == (totals(UNITS[0]), totals(*UNITS[1:]))
    read, ground = (first + rest).stages()
    assert (read.came_in, read.went_on, read.dropped) == (30, 24, {"http_404": 5, "timeout": 1})
    assert (ground.stage, ground.came_in, first + Totals()) == ("ground", 24, first)


def test_utilisation_is_the_share_of_the_elapsed_time_in_which_the_model_computed() -> None:
    assert totals(UNITS[0]).utilisation() == 0.75
    assert totals(*UNITS[:2]).utilisation() == 0.5
    assert Totals().utilisation() is None
