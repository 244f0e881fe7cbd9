"""The layout of a job: pools of processes, one after another in the flow. Pure functions, without Ray.

In: stages, the number of workers wanted, and a cluster's resources. Out: for each pool its stages, its size, and the
resources that each of its processes takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from engine.running.stages import Stage
from schemas.label_recipes import TeacherRecipe

WRITE = "write"  # the name of the commit, beside those of stages
TEACHERS_PER_HELPER = 2  # for so many GPUs, one process reads and parses, and one writes; see docs/performance.md


@dataclass(frozen=True)
class Workers:
    """The number of teacher workers (None: one for each GPU, or each slot of CPUs), and the resources of each."""

    count: int | None = None
    threads: int = 1
    wants_gpu: bool = False

    @classmethod
    def of_teacher(cls, recipe: TeacherRecipe, count: int | None) -> Workers:
        """``count`` workers with the resources that a recipe's teacher takes."""
        return cls(count, recipe.threads, wants_gpu=recipe.device != "cpu")


@dataclass(frozen=True)
class Pool:
    """Processes that do the same work: its stages, whether it ends with the commit, the number of processes, and the
    resources that each takes, as Ray names them."""

    stages: tuple[Stage, ...]
    commits: bool
    size: int
    takes: dict[str, float]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the stages, and ``WRITE`` for the commit."""
        return (*(stage.name for stage in self.stages), *([WRITE] if self.commits else []))


@dataclass(frozen=True)
class Layout:
    """The pools of a job, one after another in the flow."""

    pools: tuple[Pool, ...]
    teachers: int
    on_gpu: bool = False


def layout(stages: Sequence[Stage], workers: Workers, cluster: Mapping[str, float] | None) -> Layout:
    """The layout of a job: on a cluster with these resources (``CPU``, ``GPU``), or in one process (None).

    Beside a GPU, reading and writing have processes of their own, so that the GPU never waits for them. On CPUs such
    processes would only take cores from the teachers, so the whole job is one pool.
    """
    if cluster is None:
        return Layout((Pool(tuple(stages), True, 1, {}),), 1)
    on_gpu = workers.wants_gpu and cluster.get("GPU", 0) >= 1
    slots = int(cluster["GPU"]) if on_gpu else max(1, int(cluster.get("CPU", 1)) // workers.threads)
    teachers = workers.count or slots
    if not on_gpu:
        return Layout((Pool(tuple(stages), True, teachers, {"num_cpus": workers.threads}),), teachers)
    helpers, helper = -(-teachers // TEACHERS_PER_HELPER), {"num_cpus": 0.5}
    pools = [
        Pool(tuple(group), False, teachers, {"num_gpus": 1, **helper})
        if place == "teacher"
        else Pool(tuple(group), False, helpers, helper)
        for place, group in groupby(stages, key=lambda stage: stage.place)
    ]
    return Layout((*pools, Pool((), True, helpers, helper)), teachers, on_gpu=True)
