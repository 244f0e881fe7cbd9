"""Labels of the web in ``self_training.py``: making them, and their precision and recall by group of phrases.

In: a teacher's recipe, or the labels and the hidden boxes. Out: a labelled dataset; precision and recall under
selections. Hidden boxes only judge: no model and no selection learns from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from self_training_cells import FLOOR, Experiment, LabelFigures
from self_training_worlds import GroupOf

from engine.artifacts import Store
from engine.gold import import_gold
from engine.metrics.pseudo_labels import JudgedSample, PseudoLabelTally, Select, above_score
from engine.metrics.truth import Truth
from engine.selection import resolve_selection, select
from engine.shards import read_labels
from pipelines.calibrate import calibrate
from pipelines.evaluation.pseudo_quality import open_truth
from pipelines.generation_plan import import_source
from pipelines.label import label
from schemas.recipes import CalibrateRecipe, LabelRecipe, SelectionChoice, TeacherRecipe
from schemas.shards import SampleLabels

JUDGED_SCORES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def label_web(experiment: Experiment, seed: int, teacher: TeacherRecipe, out: Path) -> Path:
    """Label the seed's web by a teacher into ``out``, or resume that."""
    recipe = LabelRecipe(source=experiment.world.web(seed), teacher=teacher, min_score=FLOOR, unit_size=100)
    print(f"== seed {seed}: label {out.name}", flush=True)
    if label(recipe, out, backend="inline").units_left:
        raise SystemExit("stopped while labelling; the same command goes on")
    return out


def calibrate_teacher(experiment: Experiment, folder: Path, seed: int, teacher: TeacherRecipe, human: list[str]) -> str:
    """The calibration of the seed's teacher on human data that it was not trained on; frequencies of heads are counted
    in the ``human`` data that it was trained on."""
    source = experiment.world.calibration
    assert source is not None, "the variant has been refused"
    import_source(source(seed), folder / "calibration")
    recipe = CalibrateRecipe(
        datasets=(str(folder / "calibration"),), teacher=teacher, min_score=FLOOR, frequencies=tuple(human)
    )
    calibrate(recipe, folder / "calibration.json", progress=False)
    return str(folder / "calibration.json")


def by_score(labels: Path, truth: Truth, group_of: GroupOf) -> LabelFigures:
    """Precision and recall of the labels by group of phrases, at each of ``JUDGED_SCORES``."""
    return _judge(labels, truth, group_of, {f"{score:.2f}": above_score(score) for score in JUDGED_SCORES})


def as_selected(labels: Path, truth: Truth, group_of: GroupOf, selection: SelectionChoice) -> LabelFigures:
    """Precision and recall of the labels that a student learns from: one row for each group."""
    return _judge(labels, truth, group_of, {"selected": partial(select, selection=resolve_selection(selection))})


def hidden_boxes(experiment: Experiment, folder: Path, seed: int) -> Truth:
    """The boxes that judge the seed's labels; those of drawn scenes are written into ``folder``."""
    if experiment.world.truth is not None:
        source = experiment.world.truth(seed)
        assert source.scenes is not None
        import_gold("scenes", source.scenes, folder / "truth")
    return open_truth(experiment.world.judge or folder / "truth")


def _judge(labels: Path, truth: Truth, group_of: GroupOf, selects: Mapping[str, Select]) -> LabelFigures:
    """Select from whole samples, since some rules compare all phrases; then judge each group by itself."""
    tallies: dict[str, dict[str, PseudoLabelTally]] = {}
    known = truth.keys()
    for sample in (sample for sample in read_labels(Store(labels)) if sample.key in known):
        groups = [group_of(phrase) for phrase in sample.phrases]
        selected = {name: chosen(sample) for name, chosen in selects.items()}
        for group in set(groups):
            numbers = [number for number, own in enumerate(groups) if own == group]
            asked = JudgedSample(_of_phrases(sample, numbers), truth)
            found = tallies.setdefault(group, {name: PseudoLabelTally(name) for name in selects})
            for name, one in selected.items():
                found[name].count(asked, _of_phrases(one, numbers))
    return {group: [tally.figures() for tally in found.values()] for group, found in sorted(tallies.items())}


def _of_phrases(labels: SampleLabels, numbers: list[int]) -> SampleLabels:
    """The labels with only these phrases and their boxes."""
    renumbered = {number: place for place, number in enumerate(numbers)}
    boxes = [
        box.model_copy(update={"phrase": renumbered[box.phrase]}) for box in labels.boxes if box.phrase in renumbered
    ]
    return labels.model_copy(update={"phrases": [labels.phrases[number] for number in numbers], "boxes": boxes})
