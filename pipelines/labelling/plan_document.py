"""What a labelling job will take, as a document and as lines for a person.

In: estimates of the whole source, and counts of what was probed. Out: a document, lines on the standard output.
"""

from __future__ import annotations

from collections import Counter

from pipelines.console.number_formats import counted
from pipelines.labelling.estimates import Estimate
from schemas.reports import Document

MOST_REASONS = 6  # that are printed; the document has all


class LabelPlan(Document):
    """What labelling the whole source takes. ``worker_hours`` are GPU-hours where ``device`` is ``gpu``; ``hours`` are
    those of ``workers`` workers, from the first unit on; ``storage_bytes`` are of shards, tables and manifests.
    ``probed_rejects`` counts, by reason, those of the probed images that were not labelled."""

    source_images: int
    units: int
    probed_images: int
    probed_slices: int
    timed_slices: int
    seed: int
    workers: int
    device: str
    start_seconds: float
    images_per_second: Estimate
    hours: Estimate
    worker_hours: Estimate
    storage_bytes: Estimate
    labelled_share: Estimate
    boxes_per_image: Estimate
    probed_rejects: dict[str, int] = {}
    cost: Estimate | None = None
    price_per_hour: float | None = None


def print_plan(plan: LabelPlan) -> None:
    """The plan for a person, a line a figure."""
    where = counted(plan.workers, f"{plan.device.upper()} worker")
    print(
        f"{counted(plan.source_images, 'image')} in {counted(plan.units, 'unit')}; probed {plan.probed_images} of them "
        f"in {counted(plan.probed_slices, 'slice')} (seed {plan.seed}), timed {plan.timed_slices}, on {where}"
    )
    unit = "GPU-hours" if plan.device == "gpu" else "worker-hours"
    lines = [
        ("images/s", plan.images_per_second, f"on {where}"),
        ("hours", plan.hours, f"after a start of {plan.start_seconds} s"),
        (unit, plan.worker_hours, ""),
        ("GB stored", plan.storage_bytes.times(1e-9), "shards and tables"),
        ("labelled share", plan.labelled_share, "of the images"),
        ("boxes an image", plan.boxes_per_image, "above the floor"),
    ]
    if plan.cost is not None:
        lines.append(("cost", plan.cost, f"at {plan.price_per_hour:g} an hour of a worker"))
    for name, estimate, note in lines:
        interval = f"({_short(estimate.low)} to {_short(estimate.high)})"
        print(f"  {name:15} {_short(estimate.value):>10}  {interval:24} {note}".rstrip())
    if plan.probed_rejects:
        count = sum(plan.probed_rejects.values())
        print(f"  {'rejects':15} {count:>10}  of those probed: {_most(plan.probed_rejects)}")


def _most(reasons: dict[str, int]) -> str:
    """The most frequent reasons, and how many others there are."""
    shown = ", ".join(f"{reason} {count}" for reason, count in Counter(reasons).most_common(MOST_REASONS))
    return shown if len(reasons) <= MOST_REASONS else f"{shown} and {len(reasons) - MOST_REASONS} more"


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
