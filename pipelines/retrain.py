"""``glip-engine retrain``: runs a generation into the registry if one is due; only one process at a time.

In: a recipe with a policy. Out: a run in a folder of its own, its record in the registry, the reasons in print. The
next call resumes a run that was stopped, or whose machine died; if the source or the recipe has changed, it begins
another one. Without anything new, nothing happens.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from engine.artifacts import Store, digest_of
from engine.retraining.policy import DueDecision, apply_policy
from engine.retraining.records import BusyError, RetrainRecords
from engine.runner import Backend
from pipelines.generation import GenerationSummary, generation
from pipelines.models.candidates import DECISION
from pipelines.retraining.facts import current_teacher, observe, phrase_growth, watched_figure
from pipelines.retraining.old_runs import without_old_runs
from pipelines.retraining.webhook import send, webhook_address
from schemas.recipes import GenerationRecipe
from schemas.retrain import RetrainFacts, RetrainRecord, RetrainResult
from schemas.retrain_recipes import RetrainRecipe

FAILURE = "failure.txt"
NOTIFIED_FIELDS = ("number", "folder", "because", "outcome", "reason", "page", "promoted", "mirror_problem", "attempts")
Due = tuple[DueDecision, RetrainRecord | None]
"""Whether a run is due, and the run, on record from here on; None where none is to be made."""


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

    The outcome is ``busy`` where another process retrains into the registry. A failure is recorded, sent to the webhook
    and raised; ValueError before any work where the recipe, the registry or the source is wrong. ``now`` is the
    machine's time where not given.
    """
    at = now or datetime.now(UTC)
    if recipe.notify is not None:
        webhook_address(recipe.notify)
    uri = recipe.generation.registry
    assert uri is not None, "the recipe has been checked"
    records = RetrainRecords(uri)
    try:
        with records.held():
            decision, begun = _due_or_notify(recipe, records, at, if_due)
            if progress:
                print(_due_line(decision), flush=True)
            if begun is None:
                return RetrainResult(outcome="not due", due=False, because=[], not_due=decision.not_due)
            work = partial(generation, workers=workers, backend=backend, progress=progress)
            run = _run(recipe, records, begun, work, progress)
    except BusyError as error:
        if progress:
            print(f"not retraining: {error}", flush=True)
        return RetrainResult(outcome="busy", due=False, because=[], not_due=[str(error)])
    assert run.outcome is not None, "it has ended"
    return RetrainResult(outcome=run.outcome, due=True, because=decision.because, not_due=decision.not_due, run=run)


def _due_or_notify(recipe: RetrainRecipe, records: RetrainRecords, at: datetime, if_due: bool) -> Due:
    """:func:`_due`; an error before there is a run is sent to the webhook, too."""
    try:
        return _due(recipe, records, at, if_due)
    except Exception as error:
        _notify(recipe, "failed", _error_text(error), None)
        raise


def _due(recipe: RetrainRecipe, records: RetrainRecords, at: datetime, if_due: bool) -> Due:
    last, facts = _last_notified(recipe, records), observe(recipe)
    changed = ""
    if last is not None and last.outcome in ("failed", None):
        changed = _changed_since(recipe, last, facts)
        if not changed and last.attempts < recipe.max_attempts:
            again = f"run {last.number} {last.outcome or 'did not end'}; it is resumed"
            update = {"attempts": last.attempts + 1, "finished": None, "outcome": None, "untold": False}
            begun = last.model_copy(update=update)
            records.write(begun)
            return DueDecision([f"{again} (attempt {begun.attempts} of {recipe.max_attempts})"], []), begun
        if last.outcome is None:
            why = changed or ", as often as it was attempted"
            _write_and_notify(recipe, records, _failed(last, f"it did not end{why}"))
    decision = _decided(recipe, last, facts, at)
    if last is not None and changed:
        decision.because.append(f"run {last.number} failed{changed}")
    if not decision.due and if_due:
        return decision, None
    if not decision.due:
        decision.because.append("it was asked for")
    begun = _begin(recipe, last, decision.because, facts, at)
    records.write(begun)
    return decision, begun


def _changed_since(recipe: RetrainRecipe, last: RetrainRecord, now: RetrainFacts) -> str:
    """Why the last run, which failed or did not end, cannot be resumed: recipe, source or teacher have changed since.
    Empty where it can be."""
    if last.recipe_digest != _digest(recipe):
        return ", and the recipe has changed since"
    if last.facts.parts != now.parts:
        return ", and the source has changed since"
    if last.facts.teacher != now.teacher and not Store(last.folder).exists(DECISION):  # else it may be its own student
        return ", and another version is current since"
    return ""


def _decided(recipe: RetrainRecipe, last: RetrainRecord | None, facts: RetrainFacts, at: datetime) -> DueDecision:
    wanted = recipe.policy.phrase_growth is not None
    growth = phrase_growth(recipe, last, facts) if last is not None and wanted else None
    return apply_policy(recipe.policy, last, facts, at, unit_size=recipe.generation.label.unit_size, growth=growth)


def _begin(
    recipe: RetrainRecipe, last: RetrainRecord | None, because: list[str], facts: RetrainFacts, at: datetime
) -> RetrainRecord:
    number = 1 if last is None else last.number + 1
    while (folder := Path(recipe.runs) / f"{number:06d}").exists():  # left by an earlier registry at the same place
        number += 1
    digest = _digest(recipe)
    return RetrainRecord(
        number=number, folder=str(folder), because=because, begun=at, facts=facts, recipe_digest=digest
    )


def _digest(recipe: RetrainRecipe) -> str:
    """The digest of what a run does; a run that was begun by another recipe cannot be resumed."""
    return digest_of(recipe.generation.model_dump(mode="json"))


def _run(
    recipe: RetrainRecipe,
    records: RetrainRecords,
    begun: RetrainRecord,
    work: Callable[[GenerationRecipe, str], GenerationSummary],
    progress: bool,
) -> RetrainRecord:
    """Do the generation. Its outcome is recorded and sent to the webhook before an error is raised or an old run is
    deleted."""
    try:
        summary = work(_numbered(recipe.generation, begun), begun.folder)
        ended = _ended(recipe, begun, summary)
    except KeyboardInterrupt:
        records.write(begun.model_copy(update={"attempts": begun.attempts - 1}))  # a stop is no failed attempt
        raise
    except Exception as error:
        with suppress(OSError, RuntimeError):  # the disk may be full; the record may lie on another one
            Store(begun.folder).write(FAILURE, traceback.format_exc().encode())
            error.add_note(f"its traceback is {begun.folder}/{FAILURE}")
        _write_and_notify(recipe, records, _failed(begun, _error_text(error)))
        raise
    ended = _write_and_notify(recipe, records, ended)
    tidied = without_old_runs(recipe, records, ended)
    if tidied != ended:
        records.write(tidied)
        if progress:
            _print_removed(tidied)
    return tidied


def _failed(run: RetrainRecord, reason: str) -> RetrainRecord:
    update = {"outcome": "failed", "reason": reason, "finished": datetime.now(UTC), "teacher_after": run.facts.teacher}
    return run.model_copy(update=update)


def _error_text(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:2000]


def _numbered(recipe: GenerationRecipe, begun: RetrainRecord) -> GenerationRecipe:
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
            "mirror_problem": summary.mirror_problem,
            "teacher_after": current_teacher(recipe)[0],
            "figure_after": watched_figure(recipe),
        }
    )


def _write_and_notify(recipe: RetrainRecipe, records: RetrainRecords, ended: RetrainRecord) -> RetrainRecord:
    """Write the record, notify the webhook, and write whether that arrived. The first record says that it has not: the
    process may end in between."""
    assert ended.outcome is not None
    untold = ended.model_copy(update={"untold": _wants_event(recipe, ended.outcome)})
    try:
        records.write(untold)
    finally:  # the webhook must hear of a failure even if the record cannot be written
        arrived = _notify(recipe, ended.outcome, ended.reason, ended)
    if arrived and untold.untold:
        with suppress(OSError, RuntimeError):  # then the event is sent twice
            records.write(ended)
            return ended
    return untold


def _last_notified(recipe: RetrainRecipe, records: RetrainRecords) -> RetrainRecord | None:
    """The last run; if the webhook has not received its outcome yet, it is sent now."""
    last = records.last()
    if last is None or not last.untold or last.outcome is None or not _wants_event(recipe, last.outcome):
        return last
    return _write_and_notify(recipe, records, last.model_copy(update={"untold": False}))


def _wants_event(recipe: RetrainRecipe, event: str) -> bool:
    return recipe.notify is not None and event in recipe.notify.events


def _notify(recipe: RetrainRecipe, event: str, reason: str, run: RetrainRecord | None) -> bool:
    """Send an event to the webhook. Returns whether it arrived; also true where the recipe does not want the event."""
    if recipe.notify is None or not _wants_event(recipe, event):
        return True
    told = None if run is None else {name: getattr(run, name) for name in NOTIFIED_FIELDS}
    return send(recipe.notify, {"event": event, "registry": recipe.generation.registry, "reason": reason, "run": told})


def _due_line(decision: DueDecision) -> str:
    if decision.due:
        return f"retraining is due: {'; '.join(decision.because)}"
    return f"retraining is not due: {'; '.join(decision.not_due)}"


def _print_removed(run: RetrainRecord) -> None:
    if run.removed:
        print(f"deleted, as the recipe keeps no more runs: {', '.join(run.removed)}", flush=True)
    if run.removal_problem is not None:
        print(f"old runs could not be deleted: {run.removal_problem}", flush=True)
