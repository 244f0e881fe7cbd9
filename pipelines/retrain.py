"""``glip-engine retrain``: a generation when one is due, into the registry, once, whoever else asks.

In: a recipe with a policy. Out: a run in a folder of its own, its record in the registry, the reasons in print. A run
that was stopped, or whose machine died, is gone on with by the next call. Asked again with nothing new, it rests.
"""

from __future__ import annotations

import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.artifacts import Store, digest_of
from engine.retraining.policy import Verdict, judge
from engine.retraining.records import BusyError, RetrainRecords
from engine.runner import Backend
from pipelines.generation import GenerationSummary, generation
from pipelines.retraining.facts import current_teacher, observe, phrase_growth, watched_figure
from pipelines.retraining.webhook import send, webhook_address
from pipelines.stop_signals import ended_by_sigterm
from schemas.recipes import GenerationRecipe
from schemas.retrain import RetrainFacts, RetrainRecord, RetrainResult
from schemas.retrain_recipes import RetrainRecipe

FAILURE = "failure.txt"


def retrain(
    recipe: RetrainRecipe,
    *,
    if_due: bool = True,
    workers: int | None = None,
    backend: Backend = "ray",
    progress: bool = True,
    now: datetime | None = None,
) -> RetrainResult:
    """Run a generation if the policy says so, or, without ``if_due``, in any case.

    ``busy`` where another process retrains into the registry. A failure is recorded, told to the webhook and raised;
    ValueError before any work where the recipe, the registry or the source is wrong. ``now`` is the machine's time
    where not given.
    """
    at = now or datetime.now(UTC)
    if recipe.notify is not None:
        webhook_address(recipe.notify)
    uri = recipe.generation.registry
    assert uri is not None, "the recipe has been checked"
    records = RetrainRecords(uri)
    try:
        with records.held():
            return _retrain(recipe, records, at, if_due, {"workers": workers, "backend": backend, "progress": progress})
    except BusyError as error:
        result = RetrainResult(outcome="busy", due=False, because=[], not_due=[str(error)])
        _tell(result, progress)
        return result


def _retrain(
    recipe: RetrainRecipe, records: RetrainRecords, at: datetime, if_due: bool, how: dict[str, Any]
) -> RetrainResult:
    last = records.last()
    begun = _to_go_on_with(recipe, records, last, at)
    if begun is not None:
        verdict = Verdict(begun.because, [])
    else:
        facts = observe(recipe)
        verdict = _judged(recipe, last, facts, at)
        if not verdict.due and if_due:
            result = RetrainResult(outcome="not due", due=False, because=[], not_due=verdict.not_due)
            _tell(result, how["progress"])
            return result
        begun = _begin(recipe, last, verdict.because or ["it was asked for"], facts, at)
    records.write(begun)
    due = RetrainResult(outcome="not due", due=True, because=begun.because, not_due=verdict.not_due, run=begun)
    _tell(due, how["progress"])
    ended = _run(recipe, records, begun, how)
    assert ended.outcome is not None
    return due.model_copy(update={"outcome": ended.outcome, "run": ended})


def _judged(recipe: RetrainRecipe, last: RetrainRecord | None, facts: RetrainFacts, at: datetime) -> Verdict:
    wanted = last is not None and recipe.policy.phrase_growth is not None
    growth = phrase_growth(recipe, last, facts) if wanted and last is not None else None
    verdict = judge(recipe.policy, last, facts, at, unit_size=recipe.generation.label.unit_size, growth=growth)
    if last is not None and last.outcome in ("failed", None) and last.recipe_digest != _digest(recipe):
        verdict.because.append(f"run {last.number} failed, and the recipe has changed since")
    return verdict


def _to_go_on_with(
    recipe: RetrainRecipe, records: RetrainRecords, last: RetrainRecord | None, at: datetime
) -> RetrainRecord | None:
    """The last run, where it did not end, or failed and may be attempted again. One that was attempted too often, or
    begun by another recipe, is closed."""
    if last is None or (last.finished is not None and last.outcome != "failed"):
        return None
    if last.attempts >= recipe.max_attempts or last.recipe_digest != _digest(recipe):
        if last.finished is None:
            records.write(last.model_copy(update={"finished": at, "outcome": "failed", "reason": "it did not end"}))
        return None
    again = f"run {last.number} did not end; it is gone on with (attempt {last.attempts + 1} of {recipe.max_attempts})"
    update = {"attempts": last.attempts + 1, "finished": None, "outcome": None, "because": [again]}
    return last.model_copy(update=update)


def _begin(
    recipe: RetrainRecipe, last: RetrainRecord | None, because: list[str], facts: RetrainFacts, at: datetime
) -> RetrainRecord:
    number = 1 if last is None else last.number + 1
    folder = str(Path(recipe.runs) / f"{number:06d}")
    recipe_digest = _digest(recipe)
    return RetrainRecord(
        number=number, folder=folder, because=because, begun=at, facts=facts, recipe_digest=recipe_digest
    )


def _digest(recipe: RetrainRecipe) -> str:
    """Of what a run does: a run that was begun by another recipe cannot be gone on with."""
    return digest_of(recipe.generation.model_dump(mode="json"))


def _run(recipe: RetrainRecipe, records: RetrainRecords, begun: RetrainRecord, how: dict[str, Any]) -> RetrainRecord:
    """The generation; what became of it is on record, and told, before anything is raised."""
    try:
        with ended_by_sigterm():
            summary = generation(_named(recipe.generation, begun), begun.folder, **how)
            ended = _ended(recipe, begun, summary)
    except KeyboardInterrupt:
        records.write(begun.model_copy(update={"attempts": begun.attempts - 1}))  # a stop is no failed attempt
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:2000]
        update = {"outcome": "failed", "reason": reason, "finished": datetime.now(UTC)}
        ended = begun.model_copy(update={**update, "teacher_after": begun.facts.teacher})
        Store(begun.folder).write(FAILURE, traceback.format_exc().encode())
        _record(recipe, records, ended)
        raise
    _record(recipe, records, ended)
    return ended


def _named(recipe: GenerationRecipe, begun: RetrainRecord) -> GenerationRecipe:
    """The generation with its run's number in its name, and a seed of its own for training."""
    train = recipe.train | {"seed": int(recipe.train.get("seed", 0)) + begun.number - 1}
    return recipe.model_copy(update={"name": f"{recipe.name}-{begun.number:06d}", "train": train})


def _ended(recipe: RetrainRecipe, begun: RetrainRecord, summary: GenerationSummary) -> RetrainRecord:
    return begun.model_copy(
        update={
            "finished": datetime.now(UTC),
            "outcome": "promoted" if summary.decision.promote else "refused",
            "reason": summary.decision.reason,
            "page": summary.page,
            "promoted": summary.promoted,
            "teacher_after": current_teacher(recipe),
            "figure_after": watched_figure(recipe),
        }
    )


def _record(recipe: RetrainRecipe, records: RetrainRecords, ended: RetrainRecord) -> None:
    records.write(ended)
    notify = recipe.notify
    if notify is None or ended.outcome not in notify.events:
        return
    said = ("number", "folder", "because", "outcome", "reason", "page", "promoted", "attempts")
    event = {"event": ended.outcome, "registry": recipe.generation.registry}
    send(notify, event | {"run": {name: getattr(ended, name) for name in said}})


def _tell(result: RetrainResult, progress: bool) -> None:
    if not progress:
        return
    if result.outcome == "busy":
        print(f"not retraining: {result.not_due[0]}", flush=True)
    elif result.due:
        print(f"retraining is due: {'; '.join(result.because)}", flush=True)
    else:
        print(f"retraining is not due: {'; '.join(result.not_due)}", flush=True)
