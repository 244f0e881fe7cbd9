"""The books of a labelling job: whether a folder may be gone on with, and what came out.

In: the recipe and digests of a job, the manifests of its units. Out: ``dataset.json``, first without counts, at the end
with them, and the result that a person or a program reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from engine.artifacts import Store, digest_of
from engine.dataset.committed import delete_temporary_files
from engine.dataset.shard_files import CARD, committed_units, read_card, write_card
from engine.filtering.leaks import LeakGuard
from engine.made_by import made_by
from engine.sources import Source
from pipelines.labelling.run_time import RunTime
from pipelines.labelling.totals import Totals, dropped_by_reason
from pipelines.models.checkpoints import local_teacher, pinned_teacher
from schemas.recipes import LabelRecipe, TeacherRecipe
from schemas.records import UnitRef
from schemas.reports import Document, StageCounts
from schemas.shards import COUNTS, FORMAT, DatasetCard
from teacher.grounder import teacher_digest

# Where things lie and what readers do with them: these change no byte of a shard. The content of a source and of a
# checkpoint is in their digests, the pictures of `leaks` are in the recipe's.
NOT_IN_DIGEST = (
    *("source.uri", "source.images"),
    *("source.concurrency", "source.concurrency_per_host", "source.timeout_s", "source.retries"),
    *("teacher.checkpoint", "teacher.checkpoint_sha256", "teacher.tokenizer", "selection", "leaks"),
)


@dataclass(frozen=True, slots=True)
class Digests:
    """The digests that decide the content of every shard of a job: those of its source, recipe and teacher.

    ``parts``: of each file of the source, by uri, so that a source that has grown does not change the units of its old
    files. ``leaks``: of the pictures to be rejected; it is part of ``recipe``.
    """

    source: str
    recipe: str
    teacher: str
    parts: dict[str, str]
    leaks: str | None = None

    def work(self, ref: UnitRef) -> str:
        """The digest of all that decides the shard of one unit."""
        rows = [ref.index, ref.uri, ref.first_row, ref.rows]
        return digest_of([FORMAT, self.parts[ref.uri], self.recipe, self.teacher, rows])


def digests_of(recipe: LabelRecipe, source: Source, refs: Iterable[UnitRef], guard: LeakGuard | None = None) -> Digests:
    """The digests of a job that labels ``refs``, the units of its recipe's source."""
    return Digests(
        source=source.fingerprint(),
        recipe=recipe_digest(recipe, guard),
        teacher=teacher_digest(local_teacher(recipe.teacher)),
        parts={uri: source.part_digest(uri) for uri in {ref.uri for ref in refs}},
        leaks=None if guard is None else guard.digest(),
    )


class LabelResult(Document):
    """What a labelling job did; counts are of the whole dataset.

    ``seconds`` and the fields after it are of this run and its new units alone, up to the end of the last one.
    ``start_seconds`` pass before the first unit begins, and ``images_per_second`` counts from there; ``utilisation`` is
    the share of the workers' time, from their first unit on, in which the model computed. ``stopped`` says why units
    are left, where some are.
    """

    dataset: str
    units: int
    new_units: int
    units_left: int = 0
    stopped: str | None = None
    images: int
    samples: int
    phrases: int
    boxes: int
    rejects: dict[str, int]
    stages: list[StageCounts]
    seconds: float
    start_seconds: float | None
    images_per_second: float | None
    utilisation: float | None


def recipe_digest(recipe: LabelRecipe, guard: LeakGuard | None = None) -> str:
    """Digest of every field that decides the bytes of the shards; of ``leaks`` the pictures, not where they lie."""
    fields = {name: value for name, value in _fields(recipe.model_dump(mode="json")) if _counts(name)}
    return digest_of(fields if guard is None else fields | {"leaks": guard.digest()})


def pin_teacher(recipe: LabelRecipe, store: Store, *, anew: bool) -> LabelRecipe:
    """The recipe with its registry model pinned to a version: the one that the dataset in ``store`` was begun with; the
    current one for a new dataset, and for one that is labelled ``anew``."""
    begun_with = None
    if not anew and store.exists(CARD):
        with suppress(ValidationError):  # of human labels, which is said where the folder is opened
            begun_with = TeacherRecipe.model_validate(read_card(store).recipe.get("teacher"))
    return recipe.model_copy(update={"teacher": pinned_teacher(recipe.teacher, begun_with)})


def open_dataset(
    store: Store, recipe: LabelRecipe, digests: Digests, *, units: int, relabel: bool = False
) -> DatasetCard:
    """Write the card of a new dataset, or return the card that is there, if it is of the same work. ValueError says
    what differs.

    ``units`` is the number of planned units. With ``relabel`` the folder may hold other labelling work: it becomes an
    incomplete dataset of this work, in which no unit of the other work counts as done. The same goes for other work
    that ended before its first unit, for example because of a mistake in its recipe.
    """
    delete_temporary_files(store)
    fresh = DatasetCard(
        origin="pseudo",
        task="grounding",
        source_fingerprint=digests.source,
        recipe_digest=digests.recipe,
        recipe=recipe.model_dump(mode="json"),
        teacher_digest=digests.teacher,
        parents=[digests.source, digests.teacher, *([] if digests.leaks is None else [digests.leaks])],
        selection=recipe.selection,
        planned_units=units,
        made_by=made_by("label"),
    )
    if store.exists(CARD):
        found = read_card(store)
        difference = difference_of(found, fresh)
        if not difference:
            now = ("recipe", "selection", "planned_units")
            return found.model_copy(update={name: getattr(fresh, name) for name in now})
        begun_in_vain = not found.units and not committed_units(store)
        if found.origin != fresh.origin or not (relabel or begun_in_vain):
            raise ValueError(
                f"{store.root} holds other work: {difference}. Give another --out, or the recipe it was begun with"
                + ("; --relabel redoes what differs" if found.origin == fresh.origin else "")
            )
    elif store.names(""):
        raise ValueError(f"{store.root} is not empty and not a dataset; give an empty or a new folder as --out")
    write_card(store, fresh)
    return fresh


def finish_dataset(
    store: Store, card: DatasetCard, before: Totals, new: Totals, times: RunTime, *, stopped: str | None
) -> LabelResult:
    """Write the card with its counts, unless that is what it says already. ``new`` are the units of this run.

    The dataset is complete when it has as many units as were planned; after a stop it is whole, but incomplete. What
    workers that were lost left half-written is deleted.
    """
    delete_temporary_files(store)
    all_units = before + new
    stages = all_units.stages()
    units_left = (card.planned_units or 0) - all_units.units
    counted = card.model_copy(
        update={
            "complete": not units_left,
            "units": all_units.units,
            **{name: getattr(all_units, name) for name in COUNTS},
            # The times are in the manifests: the card of an interrupted job equals that of an undisturbed one.
            "stages": [stage.without_times() for stage in stages],
        }
    )
    if new.units or counted != read_card(store):
        write_card(store, counted)
    start, rate = times.start_seconds, times.rate(new.rows)
    return LabelResult(
        dataset=store.root,
        units=counted.units,
        new_units=new.units,
        units_left=units_left,
        stopped=stopped if units_left else None,
        images=all_units.rows,
        samples=counted.samples,
        phrases=counted.phrases,
        boxes=counted.boxes,
        rejects=dropped_by_reason(stages),
        stages=stages,
        seconds=round(times.seconds, 1),
        start_seconds=None if start is None else round(start, 1),
        images_per_second=None if rate is None else round(rate, 2),
        utilisation=new.utilisation(),
    )


def difference_of(found: DatasetCard, fresh: DatasetCard) -> str:
    """In words, what differs between two labelling jobs: ``found``, which a folder holds, and ``fresh``. Empty where
    nothing does."""
    if found.origin != fresh.origin:
        return f"the labels were {found.origin}, are now {fresh.origin}"
    before, now = dict(_fields(found.recipe)), dict(_fields(fresh.recipe))
    other = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name) and _counts(name)]
    if "source.kind" in other:  # whose fields are other ones
        other = [name for name in other if name == "source.kind" or not name.startswith("source.")]
    parts = [f"{name} was {before.get(name)!r}, is now {now.get(name)!r}" for name in other]
    if found.teacher_digest != fresh.teacher_digest:
        parts.append(f"the teacher was {str(found.teacher_digest)[:12]}, is now {str(fresh.teacher_digest)[:12]}")
    # Other columns that are read of one source have another fingerprint too.
    if found.source_fingerprint != fresh.source_fingerprint and not any(one.startswith("source.") for one in parts):
        parts.append("the content of the source is not what it was")
    if found.parents[2:] != fresh.parents[2:]:
        parts.append("the pictures of `leaks` are not what they were")
    if not parts and found.recipe_digest != fresh.recipe_digest:
        parts.append("the recipe differs")
    return "; ".join(parts)


def _fields(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a recipe as (``teacher.batch_size``, 8)."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _fields(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _counts(name: str) -> bool:
    return name not in NOT_IN_DIGEST and not name.startswith("selection.")  # the numbers of a selection, if it has some
