"""Which units of a dataset are whole, and what is wrong with the others: from listings and manifests alone.

In: a store. Out: the manifests of the units that can be counted, and a :class:`~schemas.dataset_report.Wholeness` that
tells of the rest, so that a damaged or half-written dataset gives a report of what is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pydantic import ValidationError

from engine.artifacts import Store
from engine.dataset.manifest_summary import ManifestSummary
from engine.dataset.shard_files import annotations_name, file_sizes, manifest_name, rejects_name, shard_name, unit_of
from schemas.dataset_report import UnitProblem, Wholeness
from schemas.shards import DatasetCard, ShardManifest

MAX_PROBLEMS = 100


@dataclass
class Examination:
    """The state of a dataset's units: ``manifests`` of those that count, ``problems`` of the others. More problems may
    be added while tables are read."""

    manifests: dict[int, ManifestSummary] = field(default_factory=dict)
    units_found: int = 0
    problems: list[UnitProblem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def leave_out(self, unit: int, file: str, problem: str) -> None:
        """Do not count the unit after all, because of a problem with ``file``."""
        self.manifests.pop(unit, None)
        self.problems.append(UnitProblem(unit=unit, file=file, problem=problem))

    def whole(self, card: DatasetCard) -> Wholeness:
        """The findings as a part of the report."""
        left_out = len({one.unit for one in self.problems} - self.manifests.keys())
        return Wholeness(
            units_planned=card.planned_units,
            units_found=self.units_found,
            units_counted=len(self.manifests),
            problem_count=len(self.problems),
            problems=sorted(self.problems, key=lambda one: (one.unit, one.file))[:MAX_PROBLEMS],
            messages=[*self._messages(card, left_out), *self.notes],
        )

    def _messages(self, card: DatasetCard, left_out: int) -> Iterator[str]:
        if not self.units_found:
            yield "The dataset is empty: no unit has been written."
        if left_out:
            of = f"{left_out} of {self.units_found} units"
            yield f"{of} are not whole and not counted; see `glip-engine verify`."
        if not card.complete:
            planned = "" if card.planned_units is None else f" of {card.planned_units} planned"
            yield f"The dataset is not complete: {len(self.manifests)}{planned} units are counted."


def examine(store: Store, each: Callable[[ShardManifest], None] | None = None) -> Examination:
    """Read every manifest and compare the sizes of the tables with it.

    A unit counts if its table of boxes is right, since all numbers come from tables; a missing shard is only noted.
    ``each`` is called with the full manifest of each unit that counts, of which the examination keeps a summary.
    """
    sizes = file_sizes(store)
    units = sorted({unit for path in sizes if (unit := unit_of(path)) is not None})
    found = Examination(units_found=len(units))
    committed = [unit for unit in units if manifest_name(unit) in sizes]
    for unit in sorted(set(units) - set(committed)):
        found.leave_out(unit, manifest_name(unit), "there is no manifest: the unit was not committed")
    no_shard = 0
    contents = store.read_many([manifest_name(unit) for unit in committed])
    for unit, content in zip(committed, contents, strict=True):
        manifest = _manifest(unit, content, found)
        if manifest is None:
            continue
        wrong = dict(_wrong_sizes(manifest, sizes))
        no_shard += shard_name(unit) in wrong
        if (rejects := rejects_name(unit)) in wrong:
            found.problems.append(UnitProblem(unit=unit, file=rejects, problem=wrong[rejects]))
        if (boxes := annotations_name(unit)) in wrong:
            found.leave_out(unit, boxes, wrong[boxes])
            continue
        found.manifests[unit] = ManifestSummary.of(manifest)
        if each is not None:
            each(manifest)
    if no_shard:
        found.notes.append(f"The shards of {no_shard} units are missing or of the wrong size: no pictures from them.")
    return found


def _manifest(unit: int, content: bytes, found: Examination) -> ShardManifest | None:
    try:
        manifest = ShardManifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        found.leave_out(unit, manifest_name(unit), f"it is not a manifest of this format: {where}: {first['msg']}")
        return None
    if manifest.unit != unit:
        found.leave_out(unit, manifest_name(unit), f"it is the manifest of unit {manifest.unit}")
        return None
    return manifest


def _wrong_sizes(manifest: ShardManifest, sizes: dict[str, int]) -> Iterator[tuple[str, str]]:
    for file in manifest.files:
        size = sizes.get(file.path)
        if size is None:
            yield file.path, "it is missing"
        elif size != file.size:
            yield file.path, f"it has {size} bytes, its manifest says {file.size}"
