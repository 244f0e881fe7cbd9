"""The last step of the labelling job: a unit's pseudo-labels become its shard, its tables and its manifest.

In: a unit after all stages. Out: what :func:`engine.shards.write_shard` writes, and with it the counts of each stage.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from engine.artifacts import Store
from engine.running.stages import Commit
from engine.shards import LabelledImage, write_shard
from pipelines.labelling.bookkeeping import Digests
from schemas.records import PseudoLabel, Unit
from schemas.reports import StageCounts
from schemas.shards import SampleLabels, ShardManifest


def open_commit(store: Store, digests: Digests) -> Commit[ShardManifest]:
    """The function that commits a unit: it writes pictures and labels, tables, and last the manifest."""

    def commit(unit: Unit[PseudoLabel]) -> ShardManifest:
        return write_shard(
            store,
            unit.ref,
            [labelled_image(label, digests) for label in unit.records],
            unit.rejects,
            work_digest=digests.work(unit.ref),
            **work_record(unit),
        )

    return commit


def work_record(unit: Unit[Any]) -> dict[str, Any]:
    """Fields of a manifest about the work on a unit that ends now: stages, seconds, end, worker."""
    return {
        "stages": stage_counts(unit),
        "seconds": sum(tally.seconds for tally in unit.tallies),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "worker": f"{socket.gethostname()}:{os.getpid()}",
    }


def labelled_image(label: PseudoLabel, digests: Digests) -> LabelledImage:
    """A pseudo-label as a sample of a shard."""
    source = label.source
    labels = SampleLabels.model_validate(  # in one go: an object a box would take as long as the rest of the commit
        {
            "key": source.key,
            "caption": source.caption,
            "phrases": [
                {"text": one.text, "start": one.start, "end": one.end, "head_lemma": one.head_lemma}
                for one in label.phrases
            ],
            "boxes": [
                {"phrase": one.phrase, "box_xyxy": one.box_xyxy, "score": one.score, "agreement": one.agreement}
                for one in label.candidates
            ],
            "width": label.width,
            "height": label.height,
            "image_sha256": source.sha256,
            "image_phash": source.phash,
            "locator": source.locator,
            "source_columns": source.columns,
            "teacher_digest": digests.teacher,
            "recipe_digest": digests.recipe,
        }
    )
    return LabelledImage(labels, source.image, source.extension)


def stage_counts(unit: Unit[Any]) -> list[StageCounts]:
    """The unit's tallies with the reasons of what was dropped."""
    reasons = Counter((reject.stage, reject.reason) for reject in unit.rejects)
    return [
        StageCounts(
            stage=tally.stage,
            came_in=tally.came_in,
            went_on=tally.went_on,
            dropped={reason: count for (stage, reason), count in sorted(reasons.items()) if stage == tally.stage},
            phrases_left_out=tally.phrases_left_out,
            seconds=round(tally.seconds, 3),
            computing_seconds=round(tally.computing_seconds, 3),
            elapsed_seconds=round(tally.elapsed_seconds, 3),
        )
        for tally in unit.tallies
    ]
