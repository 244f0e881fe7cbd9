"""When a student is trained anew, and who hears of it: the policy, the schedule, the webhook."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from schemas.recipe_files import Recipe
from schemas.recipes import GenerationRecipe

RetrainEvent = Literal["promoted", "refused", "failed"]


class MetricDrop(Recipe):
    """A figure of the current model that is watched."""

    dataset: str
    """Folder of a human dataset, such as one that grows with what is newly annotated."""
    metric: str = "phrase_recall@1"
    """A name as the evaluation prints it."""
    by: float = Field(default=0.02, gt=0)
    """Retraining is due where it lies so far below what it was after the last run."""


class RetrainPolicy(Recipe):
    """What makes a retraining due, each since the last run; any one of them does. Not given: not looked at."""

    new_shards: int | None = Field(default=None, gt=0)
    """So many units of the source (``label.unit_size`` pairs, a shard each) are new or have changed."""
    new_pairs: int | None = Field(default=None, gt=0)
    """So many pairs of the source are new or have changed."""
    phrase_growth: float | None = Field(default=None, gt=0)
    """New pairs name so many phrases that the last run's labels lack, as a share of those they have: 0.1 is a tenth."""
    max_captions: int = Field(default=20_000, gt=0)
    """Captions of new pairs that are parsed for ``phrase_growth``: what is counted is a lower bound."""
    max_age_days: float | None = Field(default=None, gt=0)
    """The last run ended so long ago."""
    metric_drop: MetricDrop | None = None
    """A watched figure of the current model has fallen."""
    new_teacher: bool = False
    """The registry's current version is another than the last run left."""


class ScheduleRecipe(Recipe):
    """When ``glip-engine schedule`` asks whether a retraining is due."""

    cron: tuple[str, ...] = ("0 3 * * *",)
    """Expressions of five fields; it is asked at the times of all of them."""
    timezone: str = "UTC"
    """Name of the zone that they are in, such as ``Europe/Berlin``."""
    max_attempts: int = Field(default=3, gt=0)
    """A run that fails is begun again, so often in all; each goes on where the one before stopped."""
    retry_minutes: float = Field(default=10.0, gt=0)
    """Between two attempts."""
    stop_seconds: float = Field(default=120.0, gt=0)
    """When the scheduler is told to stop, so long the run under way may take to end; then it is killed."""


class NotifyRecipe(Recipe):
    """A webhook that hears of runs: JSON by POST."""

    url: SecretStr | None = None
    """Where to. Never printed or stored but for its host, since such addresses hold secrets."""
    url_from: str | None = None
    """Name of an environment variable that holds the address, instead of ``url``."""
    events: tuple[RetrainEvent, ...] = ("refused", "failed")
    """Of what it hears."""
    timeout_s: float = Field(default=10.0, gt=0)
    """For one try; there are three."""

    @model_validator(mode="after")
    def _has_one_address(self) -> NotifyRecipe:
        if (self.url is None) == (self.url_from is None):
            raise ValueError("notify takes `url`, or `url_from`, the name of an environment variable that holds it")
        return self


class RetrainRecipe(Recipe):
    """Retraining that is done when it is due: what, when, where, and who hears of it."""

    generation: GenerationRecipe
    """What is done: with a ``registry``, whose current version is the teacher (``checkpoint: registry:URI``)."""
    runs: str
    """Folder of the runs, one for each, on this machine or on what it mounts; a run that was stopped goes on there."""
    keep_runs: int | None = Field(default=None, gt=0)
    """So many folders of runs stay, the latest, with that of the current version and any that this recipe names; older
    ones are deleted when a run has ended without a failure. Not given: all stay."""
    policy: RetrainPolicy = RetrainPolicy(new_shards=1, new_teacher=True)
    schedule: ScheduleRecipe = ScheduleRecipe()
    notify: NotifyRecipe | None = None
    max_attempts: int = Field(default=3, gt=0)
    """A run that failed is gone on with by the next call, so often; then it is given up, and what it was due for counts
    as seen."""

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
