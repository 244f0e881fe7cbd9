"""When a student is retrained, and who is notified: the policy, the schedule, the webhook."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from schemas.evaluate_recipes import MetricName
from schemas.recipe_files import Recipe
from schemas.recipes import GenerationRecipe

RetrainEvent = Literal["promoted", "refused", "failed"]


class MetricDrop(Recipe):
    """A figure of the current model that is watched."""

    dataset: str
    """Folder of a human dataset, such as one that grows with new annotations."""
    metric: MetricName = "phrase_recall@1"
    """A name as the evaluation prints it."""
    by: float = Field(default=0.02, gt=0)
    """Retraining is due if the metric lies so far below its value after the last run."""


class RetrainPolicy(Recipe):
    """What makes a retraining due, each since the last run. Any one is enough; those not given are not checked."""

    new_shards: int | None = Field(default=None, gt=0)
    """Due if so many units of the source (``label.unit_size`` pairs, one shard each) are new or have changed."""
    new_pairs: int | None = Field(default=None, gt=0)
    """Due if so many pairs of the source are new or have changed."""
    phrase_growth: float | None = Field(default=None, gt=0)
    """Due if new pairs name so many phrases that the last run's labels lack, as a share of those they have (0.1 is a
    tenth)."""
    max_captions: int = Field(default=20_000, gt=0)
    """At most so many captions of new pairs are parsed for ``phrase_growth``, so the count is a lower bound."""
    max_age_days: float | None = Field(default=None, gt=0)
    """Due if the last run ended so long ago."""
    metric_drop: MetricDrop | None = None
    """Due if a watched metric of the current model has dropped."""
    new_teacher: bool = False
    """Due if the registry's current version is another than the last run left."""


class ScheduleRecipe(Recipe):
    """When ``glip-engine schedule`` checks whether a retraining is due."""

    cron: tuple[str, ...] = Field(default=("0 3 * * *",), min_length=1)
    """Cron expressions of five fields; the times of all of them count."""
    timezone: str = "UTC"
    """Their time zone, such as ``Europe/Berlin``."""
    max_attempts: int = Field(default=3, gt=0)
    """How often a failing run is tried in all; each attempt resumes where the one before stopped."""
    retry_minutes: float = Field(default=10.0, gt=0)
    """Pause between two attempts."""
    stop_seconds: float = Field(default=120.0, gt=0)
    """How long the current run may take to end when the scheduler is told to stop; then it is killed."""


class NotifyRecipe(Recipe):
    """A webhook that is told of runs: JSON by POST."""

    url: SecretStr | None = None
    """The address. Only its host is ever printed or stored, because such addresses hold secrets."""
    url_from: str | None = None
    """Name of an environment variable that holds the address, instead of ``url``."""
    events: tuple[RetrainEvent, ...] = ("refused", "failed")
    """Outcomes to report."""
    timeout_s: float = Field(default=10.0, gt=0)
    """Time limit of one attempt; there are three."""

    @model_validator(mode="after")
    def _has_one_address(self) -> NotifyRecipe:
        if (self.url is None) == (self.url_from is None):
            raise ValueError("notify takes `url`, or `url_from`, the name of an environment variable that holds it")
        return self


class RetrainRecipe(Recipe):
    """Retraining when it is due: what, when, where, and who is notified."""

    generation: GenerationRecipe
    """What to run: a generation with a ``registry`` whose current version is the teacher (``checkpoint:
    registry:URI``)."""
    runs: str
    """Folder for the runs, on this machine or a mounted file system. Each run gets a folder in it and resumes there."""
    keep_runs: int | None = Field(default=None, gt=0)
    """Keep the latest so many run folders, that of the current version, and any that this recipe names. Older ones are
    deleted when a run has ended without a failure. By default all stay."""
    policy: RetrainPolicy = RetrainPolicy(new_shards=1, new_teacher=True)
    schedule: ScheduleRecipe = ScheduleRecipe()
    notify: NotifyRecipe | None = None
    max_attempts: int = Field(default=3, gt=0)
    """How often the next call resumes a run that failed. Then it is given up, and what it was due for counts as
    seen."""

    @field_validator("runs")
    @classmethod
    def _is_a_path_of_this_machine(cls, runs: str) -> str:
        if "://" in runs:
            raise ValueError("models are trained in a folder of this machine, or of what it mounts; no URL is one")
        return runs

    @model_validator(mode="after")
    def _the_current_version_teaches(self) -> RetrainRecipe:
        uri, teacher = self.generation.registry, self.generation.label.teacher.checkpoint
        if uri is None or teacher.rstrip("/") != f"registry:{uri.rstrip('/')}":
            raise ValueError(
                f"retraining takes a generation with a `registry`, whose current version teaches: give it a registry "
                f"and label.teacher.checkpoint: registry:{uri or 'URI'} (it is {teacher!r})"
            )
        return self
