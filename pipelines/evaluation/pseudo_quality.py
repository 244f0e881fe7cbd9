"""How good the pseudo-labels are: precision and recall against hidden human boxes.

In: a labelled dataset, and the truth about its images: a JSON file of class boxes and phrases, or a human dataset of
the same samples. Out: figures at every preset and by the lowest score kept; ``pseudo_quality.json``. For scoring only.

Both datasets are judged as their readers see them: without duplicates, and as reviewers left them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from engine.artifacts import Store
from engine.metrics.pseudo_labels import Select, above_score, pseudo_label_figures
from engine.metrics.truth import GoldTruth, Truth, read_coco_truth
from engine.selection import PRESETS, resolve_selection, selection_name
from engine.shards import read_card
from engine.view import View, open_unselected
from schemas.recipes import SelectionChoice
from schemas.reports import PseudoLabelReport
from schemas.shards import SampleLabels

PSEUDO_QUALITY = "pseudo_quality.json"
CURVE_SCORES = tuple(round(0.05 * step, 2) for step in range(1, 20))


def pseudo_quality(
    dataset: str | Path,
    truth: str | Path,
    out: str | Path | None = None,
    *,
    also: Sequence[SelectionChoice] = (),
) -> PseudoLabelReport:
    """Judge the pseudo-labels in ``dataset`` by ``truth``; the report is written under ``out`` where given.

    ``also``: selections to be judged besides the presets. ValueError where either dataset is missing, or where no
    labelled image has truth.
    """
    store = Store(dataset)
    view = open_unselected(store)
    known = open_truth(truth)
    chosen: dict[str, SelectionChoice] = dict(zip(PRESETS, PRESETS, strict=True))
    chosen |= {selection_name(one): one for one in also}
    selections = {name: _seen(replace(view, selection=resolve_selection(one))) for name, one in chosen.items()}
    selections |= {f"{score:.2f}": _seen(view, above_score(score)) for score in CURVE_SCORES}
    judged: set[str] = set()
    figures = pseudo_label_figures(_with_truth(view.stored(store), known.keys(), judged), known, selections)
    if not judged:
        raise ValueError(f"no labelled image of {dataset} has a key that {truth} knows")
    report = PseudoLabelReport(
        dataset=store.name,
        truth=known.name,
        images=len(judged),
        images_not_labelled=len(known.keys() - judged),
        presets=figures[: len(chosen)],
        curve=figures[len(chosen) :],
    )
    if out is not None:
        Store(out).write_document(PSEUDO_QUALITY, report)
    return report


def _with_truth(samples: Iterable[SampleLabels], keys: frozenset[str], judged: set[str]) -> Iterator[SampleLabels]:
    """The samples that have truth, one after another; their keys are added to ``judged``."""
    for labels in samples:
        if labels.key in keys:
            judged.add(labels.key)
            yield labels


def _seen(view: View, then: Select | None = None) -> Select:
    """A selection of what readers see: the view's own, then ``then`` where given."""
    return lambda labels: view.seen(labels)[0] if then is None else then(view.seen(labels)[0])


def open_truth(truth: str | Path) -> Truth:
    """The truth in a JSON file, or in the folder of a human dataset."""
    if str(truth).endswith(".json"):
        return read_coco_truth(str(truth))
    store = Store(truth)
    if read_card(store).origin != "human":
        raise ValueError(f"{truth} is a pseudo-labelled dataset; truth is human annotations or drawn scenes")
    view = open_unselected(store)
    return GoldTruth(store.name, (view.seen(labels)[0] for labels in view.stored(store)))
