"""The facts for a retraining policy: the source, its new phrases, the current model, a watched figure of that.

In: a recipe and the last run. Out: :class:`~schemas.retrain.RetrainFacts`, and the growth of phrases. A figure is
evaluated, and new captions are parsed, only if the policy needs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from engine.artifacts import Store
from engine.phrases import PhraseParser
from engine.registry import Registry
from engine.retraining.policy import Growth, new_rows
from engine.shards import CARD, read_labels
from engine.sources import open_source
from pipelines.evaluate import evaluate
from pipelines.models.checkpoints import current_version
from schemas.recipes import EvaluateRecipe, protocols_with
from schemas.records import CaptionedImage, UnitRef
from schemas.retrain import RetrainFacts, RetrainRecord, SourcePart
from schemas.retrain_recipes import RetrainRecipe


def observe(recipe: RetrainRecipe) -> RetrainFacts:
    """The facts as they are now. ValueError where the source or the registry cannot be read."""
    teacher, rolled_back = current_teacher(recipe)
    figure = watched_figure(recipe)
    return RetrainFacts(parts=source_parts(recipe), teacher=teacher, rolled_back=rolled_back, figure=figure)


def current_teacher(recipe: RetrainRecipe) -> tuple[str, bool]:
    """The digest of the registry's current model, and whether a rollback made it current."""
    assert recipe.generation.registry is not None, "the recipe has been checked"
    registry = Registry(recipe.generation.registry)
    entry = registry.state().current()
    return current_version(registry).model_digest, entry is not None and entry.action == "rollback"


def source_parts(recipe: RetrainRecipe) -> dict[str, SourcePart]:
    """The files of the source, with their rows."""
    source = open_source(recipe.generation.label.source)
    rows: dict[str, int] = {}
    for ref in source.units(recipe.generation.label.unit_size):
        rows[ref.uri] = rows.get(ref.uri, 0) + ref.rows
    return {uri: SourcePart(rows=count, digest=source.part_digest(uri)) for uri, count in rows.items()}


def watched_figure(recipe: RetrainRecipe) -> float | None:
    """The watched metric of the current model, evaluated unless it has been on the same data; None where the policy
    watches none."""
    rule = recipe.policy.metric_drop
    if rule is None:
        return None
    asked = EvaluateRecipe(
        datasets=(rule.dataset,), protocols=protocols_with(rule.metric), teacher=recipe.generation.label.teacher
    )
    report = evaluate(asked, Path(recipe.runs) / "watched", progress=False)[0]
    try:
        return report.value(rule.metric)
    except KeyError as error:
        raise ValueError(f"policy.metric_drop: {error.args[0]}") from None


def phrase_growth(recipe: RetrainRecipe, last: RetrainRecord, now: RetrainFacts) -> Growth | None:
    """The growth of phrases: those that new pairs name and the last run's labels lack; None if the labels are gone."""
    labels = Store(Path(last.folder) / "pseudo")
    if not labels.exists(CARD):
        return None
    known = {phrase.text.lower() for one in read_labels(labels) for phrase in one.phrases}
    captions = list(islice(_new_captions(recipe, last, now), recipe.policy.max_captions))
    phrases = PhraseParser(recipe.generation.label.phrases).parse(captions) if captions else []
    found = {phrase.text.lower() for of_caption in phrases for phrase in of_caption}
    return Growth(new=len(found - known), known=len(known), captions_read=len(captions))


def _new_captions(recipe: RetrainRecipe, last: RetrainRecord, now: RetrainFacts) -> Iterator[str]:
    rows = new_rows(last.facts, now)
    source = open_source(recipe.generation.label.source)
    for ref in source.units(recipe.generation.label.unit_size):
        start, end = rows.get(ref.uri, (0, 0))
        first, stop = max(start, ref.first_row), min(end, ref.first_row + ref.rows)
        if first < stop:
            outcomes = source.read(UnitRef(ref.index, ref.uri, first, stop - first))
            yield from (one.caption for one in outcomes if isinstance(one, CaptionedImage))
