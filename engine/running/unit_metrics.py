"""Prometheus metrics of a labelling job: counters, a histogram and gauges, exported by Ray's agents.

In: manifests as they are committed. Out: metrics of Ray (``ray_glip_engine_…`` at its metrics endpoint), which the
driver updates. If Ray was installed without its agents (``ray[default]``), they are not exported.
"""

from __future__ import annotations

from typing import Any

from schemas.shards import ShardManifest

# A unit takes seconds on a GPU and minutes on a laptop.
UNIT_SECONDS = [0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000]


class UnitMetrics:
    """The metrics of one job; ``metrics`` is the module ``ray.util.metrics``."""

    def __init__(self, metrics: Any, units: int) -> None:
        self._images = metrics.Counter("glip_engine_images", "images that went through the job, labelled or rejected")
        self._samples = metrics.Counter("glip_engine_samples", "images that were labelled")
        self._boxes = metrics.Counter("glip_engine_boxes", "boxes that were stored")
        self._rejects = metrics.Counter("glip_engine_rejects", "images that were dropped", tag_keys=("stage", "reason"))
        self._units = metrics.Counter("glip_engine_units", "units that were committed")
        self._seconds = metrics.Histogram(
            "glip_engine_unit_seconds", "seconds of work on a unit, all stages", boundaries=UNIT_SECONDS
        )
        self._stage_seconds = metrics.Counter(
            "glip_engine_stage_seconds", "seconds of work by stage", tag_keys=("stage",)
        )
        self._left = metrics.Gauge("glip_engine_units_left", "units that are not yet committed")
        self._utilisation = metrics.Gauge(
            "glip_engine_utilisation", "share of the workers' time in which the model computed, over the job so far"
        )
        self._units_left = units
        self._computing = self._elapsed = 0.0
        self._left.set(units)

    def count(self, manifest: ShardManifest) -> None:
        """Count a unit that has just been committed."""
        self._units_left -= 1
        self._left.set(self._units_left)
        self._units.inc()
        self._seconds.observe(manifest.seconds)
        for counter, count in (
            (self._images, manifest.rows),
            (self._samples, manifest.samples),
            (self._boxes, manifest.boxes),
        ):
            if count:  # Ray refuses to increment by zero
                counter.inc(count)
        for stage in manifest.stages:
            for reason, count in stage.dropped.items():
                self._rejects.inc(count, {"stage": stage.stage, "reason": reason})
            if stage.seconds > 0:
                self._stage_seconds.inc(stage.seconds, {"stage": stage.stage})
            self._computing += stage.computing_seconds
            self._elapsed += stage.elapsed_seconds
        if self._elapsed:
            self._utilisation.set(self._computing / self._elapsed)
