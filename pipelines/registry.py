"""The registry's commands: promote a model past the gate, roll back, tell the history, show and check the versions.

In: a registry's folder or ``s3://`` prefix. Out: a document for each command, and the same in print.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.table import Table

from engine.registry import Registry
from engine.registry.rollback import roll_back
from engine.registry.state import State, go_back
from pipelines.console.terminal import plain_console, visible
from pipelines.lineage.nodes import checkpoint_nodes
from pipelines.mirror import follow
from pipelines.models.candidates import ModelCandidate, digests_of_version, model_files, read_candidate
from pipelines.models.version_card import CARD, version_card
from schemas.recipes import TeacherRecipe
from schemas.registry import Entry, ModelVersion
from schemas.registry_results import History, Promotion, RegistryState, Rollback, VersionState
from schemas.reports import Lineage


def promote(
    source: str | Path,
    registry: str | Path,
    *,
    decision: str | Path | None = None,
    force: str | None = None,
    progress: bool = True,
) -> Promotion:
    """Make a model the current version of the registry; of a generation, its student by its decision.

    A model that was promoted before stays where it is, whichever version is current. ``force`` is the reason for
    overriding the gate; it is recorded. A mirror of the registry is updated; if that fails, the result says so.

    ValueError where the decision says no, is about another model or another current version, or is missing (except for
    the first version); where the registry is damaged; where another promotion was faster.
    """
    opened, candidate = Registry(registry), read_candidate(source, decision)
    state = opened.state()
    current, entry = state.current(), state.promotion_of(candidate.digest)
    done_before = entry is not None
    if entry is None:
        check_gate(opened, state, candidate, force)
        version = _write(opened, candidate, None if current is None else current.version)
        entry = current = opened.move(state, version, "promote", _reason(candidate, force), force)
    result = Promotion(
        registry=opened.uri,
        version=entry.version,
        name=f"registry:{opened.uri}@{entry.version}",
        current=(current or entry).version,
        entry=entry,
        done_before=done_before,
    )
    if progress:
        print(_promoted(result))
    return result.model_copy(update={"mirror": follow(opened, progress)})


def check_gate(registry: Registry, state: State, candidate: ModelCandidate, force: str | None) -> None:
    """ValueError where the candidate's decision does not allow it to become current now."""
    decision, entry = candidate.decision, state.current()
    if decision is not None and decision.candidate_digest not in candidate.grounder_digests():
        raise ValueError(
            f"the decision is about another model ({decision.candidate_digest[:12]}) than {candidate.folder}; give the "
            "record that was made of this one; of a generation, give its whole folder"
        )
    if force is not None:
        if not force.strip():
            raise ValueError("--force takes the reason for overriding the gate; it is recorded in the history")
        return
    if decision is not None and not decision.promote:
        raise ValueError(f"the gate says no: {decision.reason} --force REASON overrides it and is recorded")
    if entry is None:
        return
    if decision is None:
        raise ValueError(
            f"{registry.uri} has a current version, {entry.version}, and there is no record that this model is better: "
            "give --decision FILE (the decision.json of a generation), or --force REASON, which is recorded"
        )
    check_incumbent(registry, entry, decision.incumbent_digest, candidate.teachers)


def check_incumbent(registry: Registry, entry: Entry, incumbent: str, teachers: tuple[TeacherRecipe, ...]) -> None:
    """ValueError where ``incumbent``, the digest of the model that a candidate is compared with, is not the current
    version's."""
    version = registry.version(entry.version)
    if incumbent not in digests_of_version(registry, version, teachers):
        raise ValueError(
            f"{registry.uri}: version {entry.version} is current ({entry.action}d by {entry.who}), but the candidate "
            f"is compared with another model ({incumbent[:12]}). Compare with the current one (checkpoint "
            f"registry:{registry.uri}), or --force REASON, which is recorded"
        )


def check_teacher_is_current(registry: str, teacher_digest: str, recipe: TeacherRecipe) -> None:
    """Check, before a generation begins, that its student could be promoted into the registry: ValueError where the
    teacher, with which it will be compared, is not the current version. An empty registry takes any."""
    opened = Registry(registry)
    entry = opened.state().current()
    if entry is not None:
        check_incumbent(opened, entry, teacher_digest, (recipe, TeacherRecipe()))


def rollback(registry: str | Path, *, to: int | None = None, reason: str = "", progress: bool = True) -> Rollback:
    """Make version ``to`` current again; by default the one that the current version replaced.

    Also works where the pointer is damaged or leads to nothing. Versions that are not whole are passed over. ValueError
    where there is no version to go back to.
    """
    opened = Registry(registry)
    entry, passed_over = roll_back(opened, to, reason)
    if progress:
        for line in passed_over:
            print(line)
        print(f"{opened.uri}: version {entry.version} is current again")
    mirror = follow(opened, progress)
    return Rollback(registry=opened.uri, version=entry.version, entry=entry, passed_over=passed_over, mirror=mirror)


def history(registry: str | Path, *, progress: bool = True) -> History:
    """All moves of the registry's pointer. ValueError where there is no registry."""
    state = _existing(registry).state()
    result = History(registry=state.uri, entries=list(state.entries), problems=list(state.problems))
    if progress:
        for entry in result.entries:
            print(visible(_entry_line(entry)))
        _print_problems(result.problems)
    return result


def show(registry: str | Path, *, version: int | None = None, progress: bool = True) -> RegistryState:
    """The versions of a registry, or one of them, every file read and checked. ValueError where there is none."""
    opened = _existing(registry)
    state = opened.state()
    numbers = opened.numbers()
    if version is not None and version not in numbers:
        opened.version(version, state)
    found = [_examine(opened, state, number) for number in numbers if version in (None, number)]
    current = state.entry.version if state.entry is not None else None
    problems = list(state.problems)
    if state.fault is None and current is not None and current not in numbers:
        problems.append(f"the pointer leads to nothing: there is no version {current}; {go_back(opened.uri)}")
    result = RegistryState(registry=opened.uri, current=current, versions=found, problems=problems)
    if progress:
        _print_versions(result)
    return result


def _write(registry: Registry, candidate: ModelCandidate, replaces: int | None) -> ModelVersion:
    lineage = candidate.lineage or Lineage(nodes=checkpoint_nodes(candidate.folder, candidate.name))
    files = model_files(replace(candidate, lineage=lineage))
    files[CARD] = version_card(candidate).encode()
    grounder = candidate.decision.candidate_digest if candidate.decision else None
    return registry.write_version(files, replaces, model_digest=candidate.digest, grounder_digest=grounder)


def _reason(candidate: ModelCandidate, force: str | None) -> str:
    decided = candidate.decision.reason if candidate.decision else "There is no record of a decision."
    return decided if force is None or candidate.decision is None else f"Past the gate, which said: {decided}"


def _promoted(result: Promotion) -> str:
    if not result.done_before:
        return f"{result.registry}: version {result.version} is current; its name as a checkpoint: {result.name}"
    if result.version == result.current:
        return f"{result.registry}: this model is current already, as version {result.version}"
    return (
        f"{result.registry}: this model was promoted before, as version {result.version}; {result.current} is current "
        f"now. To make it current again: glip-engine rollback {result.registry} --to {result.version}"
    )


def _entry_line(entry: Entry) -> str:
    instead = f" instead of {entry.replaced}" if entry.replaced is not None else ""
    forced = f" FORCED, because: {entry.forced}." if entry.forced else ""
    when = entry.when.replace("T", " ").replace("+00:00", " UTC")
    return (
        f"{entry.number:4}  {when}  {entry.action} version {entry.version}{instead}, by {entry.who}."
        f"{forced} {entry.reason}"
    )


def _existing(registry: str | Path) -> Registry:
    opened = Registry(registry)
    state = opened.state()
    if not (opened.numbers() or state.entries or state.problems):
        raise ValueError(
            f"{opened.uri} is not a registry; `glip-engine promote MODEL --registry {opened.uri}` makes one"
        )
    return opened


def _examine(registry: Registry, state: State, number: int) -> VersionState:
    model, problem = None, None
    try:
        model = registry.check(number, state)
    except ValueError as error:
        problem = str(error)
    return VersionState(
        version=number,
        current=state.fault is None and state.entry is not None and state.entry.version == number,
        was_current=state.recorded(number) is not None,
        problem=problem,
        model=model,
    )


def _print_versions(result: RegistryState) -> None:
    table = Table("version", "model", "replaces", "MB", "state", title=result.registry)
    unknown = "not in the history as far as it is left" if result.problems else "never was current"
    for one in result.versions:
        model = one.model
        cells = (
            (model.model_digest[:12], str(model.replaces or ""), f"{sum(f.size for f in model.files) / 1e6:.1f}")
            if model
            else ("", "", "")
        )
        state = "current" if one.current else "whole" if one.was_current else unknown
        table.add_row(str(one.version), *cells, "not whole" if one.problem else state)
    plain_console().print(table)
    _print_problems([*(one.problem for one in result.versions if one.problem), *result.problems])


def _print_problems(problems: list[str]) -> None:
    for problem in problems:
        print(f"problem: {visible(problem)}")
