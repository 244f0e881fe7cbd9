"""Which processes do what of a job: pools of workers, one after another in the flow. Pure: Ray is only counted on.

In: stages, how many workers are wanted, and what a cluster has. Out: for each pool its stages, its size, and what each
of its processes takes of a machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from engine.running.stages import Stage
from schemas.label_recipes import TeacherRecipe

WRITE = "write"  # the commit, where it is named beside stages
TEACHERS_PER_HELPER = 2  # one process reads and parses for so many GPUs, one writes (docs/performance.md says why)


@dataclass(frozen=True)
class Workers:
    """How many teacher workers run, None for one a GPU or CPU slot, and what each takes of the machine."""

    count: int | None = None
    threads: int = 1
    wants_gpu: bool = False

    @classmethod
    def of_teacher(cls, recipe: TeacherRecipe, count: int | None) -> Workers:
        """What a recipe's teacher takes."""
        return cls(count, recipe.threads, wants_gpu=recipe.device != "cpu")


@dataclass(frozen=True)
class Pool:
    """Processes that do the same: which stages, whether they commit, how many they are, what each takes of the
    machine."""

    stages: tuple[Stage, ...]
    commits: bool
    size: int
    takes: dict[str, float]

    @property
    def names(self) -> tuple[str, ...]:
        """The stages by name, the commit as ``WRITE``."""
        return (*(stage.name for stage in self.stages), *([WRITE] if self.commits else []))


@dataclass(frozen=True)
class Layout:
    """Which processes do what: one pool after another in the flow."""

    pools: tuple[Pool, ...]
    teachers: int
    on_gpu: bool = False


def layout(stages: Sequence[Stage], workers: Workers, cluster: Mapping[str, float] | None) -> Layout:
    """How a job with these stages runs: on a cluster with these resources (``CPU``, ``GPU``), or in one process (None).

    Beside a GPU, reading and writing have processes of their own, so that the GPU never waits for them. On CPUs they
    would take from the teachers what they give them, and the whole job is one pool.
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
