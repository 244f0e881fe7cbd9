"""The way back: to the version that was current before, or to a named one; only ever to one that is whole.

In: a registry, which may be damaged. Out: the entry of the move, and what was passed over. Where the pointer itself is
damaged or leads to nothing, the way back begins with the version that the history names last.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.registry import Registry
from engine.registry.state import State
from schemas.registry import Entry, ModelVersion


def roll_back(registry: Registry, to: int | None = None, reason: str = "") -> tuple[Entry, list[str]]:
    """Point to version ``to``; where None, to the one that the current version replaced, or, if that is damaged, to
    the one before. Returns the entry and why versions were passed over.

    ValueError where there is no such version or no whole one, where ``to`` never was current, or is current.
    """
    state = registry.state()
    passed_over: list[str] = []
    candidates = [to] if to is not None else _way_back(registry, state)
    if to is not None:
        _check_target(registry, state, to)
    for number in candidates:
        try:
            version = registry.check(number, state)
        except ValueError as error:
            passed_over.append(f"version {number} is passed over: {str(error).split(';')[0]}")
        else:
            return registry.move(state, version, "rollback", reason or _reason(state, passed_over)), passed_over
    raise ValueError(_nowhere(registry, state, passed_over))


def whole_versions(registry: Registry, state: State) -> Iterator[ModelVersion]:
    """The versions of which every file is as it was written, ascending. Reads all of them."""
    for number in registry.numbers():
        try:
            yield registry.check(number, state)
        except ValueError:
            continue


def _check_target(registry: Registry, state: State, to: int) -> None:
    if to not in registry.numbers():
        registry.version(to, state)  # says which there are
    if state.fault is None and state.entry is not None and state.entry.version == to:
        raise ValueError(f"version {to} of {registry.uri} is current already")
    if state.recorded(to) is None and not state.problems:
        raise ValueError(
            f"version {to} of {registry.uri} never was current: its promotion did not end. A rollback leads to what "
            "has passed the gate; run `glip-engine promote` again"
        )


def _way_back(registry: Registry, state: State) -> Iterator[int]:
    """The version that each one replaced, from the current one on, which comes first itself if the pointer is damaged
    (then by the newest entry, and where no entry is left, by number)."""
    replaced = {entry.version: entry.replaced for entry in state.entries if entry.action == "promote"}
    number: int | None
    if state.fault is None and state.entry is not None:
        number = _before(registry, state.entry.version, replaced, state)
    else:
        number = state.entries[-1].version if state.entries else max(registry.numbers(), default=None)
    while number is not None:
        yield number
        number = _before(registry, number, replaced, state)


def _before(registry: Registry, number: int, replaced: dict[int, int | None], state: State) -> int | None:
    """The older version that ``number`` replaced; by its manifest where the history has lost the entry."""
    if number in replaced:
        older = replaced[number]
    else:
        try:
            older = registry.version(number, state).replaces
        except ValueError:
            older = max((other for other in registry.numbers() if other < number), default=None)
    return older if older is not None and older < number else None


def _reason(state: State, passed_over: list[str]) -> str:
    return "; ".join([*([state.fault] if state.fault else []), *passed_over]) or "asked for"


def _nowhere(registry: Registry, state: State, passed_over: list[str]) -> str:
    if not (registry.numbers() or state.entries or state.problems):
        return f"{registry.uri} holds no version; `glip-engine promote MODEL --registry {registry.uri}` makes one"
    whole = ", ".join(str(version.version) for version in whole_versions(registry, state))
    tried = f" ({'; '.join(passed_over)})" if passed_over else ""
    advice = (
        f"--to N names one (whole versions: {whole})"
        if whole
        else "no version is whole: put back a copy of the registry, or promote a model into another one"
    )
    return f"{registry.uri}: there is no version to go back to{tried}; {advice}"
