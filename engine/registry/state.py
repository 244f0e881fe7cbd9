"""What the small files of a model registry say: where its pointer stands, and how it came there.

In: a store. Out: a :class:`State`, in which what is damaged is said and not raised, so that a way back can be found.
An entry is sealed by its own digest and names the digest of the one before it: a flipped byte is seen, and so is an
entry that was taken out, or a pointer that was put back to what it was before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import ValidationError

from engine.artifacts import Store, digest_of, document_bytes
from engine.storage.compare_and_swap import MAX_BYTES, Found, read_found
from schemas.registry import Entry, SealedEntry

CURRENT, HISTORY = "current.json", "history"
WITHOUT_IT = "put back a copy if there is one; the current version, promotions and rollbacks do without it"


@dataclass(frozen=True, slots=True)
class State:
    """The pointer and the history of a registry.

    ``pointer`` is the file as it lies there and ``entry`` its content; ``fault`` says why it cannot be followed, or is
    None. ``entries`` are the intact entries of the history and of the pointer, oldest first; ``problems`` describes the
    others.
    """

    uri: str
    pointer: Found | None
    entry: Entry | None
    fault: str | None
    entries: tuple[Entry, ...]
    problems: tuple[str, ...]

    def current(self) -> Entry | None:
        """The entry that made the current version current; None where the registry is empty. ValueError where the
        pointer is damaged."""
        if self.fault is not None:
            raise ValueError(f"{self.fault}; {go_back(self.uri)}")
        return self.entry

    def recorded(self, version: int) -> str | None:
        """SHA-256 of the version's manifest, as the latest entry about that version records it; None where there is no
        entry."""
        return next((entry.manifest_sha256 for entry in reversed(self.entries) if entry.version == version), None)

    def promotion_of(self, model_digest: str) -> Entry | None:
        """The entry that promoted this model; None where it never was."""
        promotions = (entry for entry in self.entries if entry.action == "promote")
        return next((entry for entry in promotions if entry.model_digest == model_digest), None)

    @property
    def last_number(self) -> int:
        """The highest number of an entry; 0 where there is none."""
        return max((entry.number for entry in self.entries), default=0)


def go_back(uri: str) -> str:
    """The advice that ends a message about damage."""
    return (
        f"`glip-engine rollback {uri}` goes back to the last whole version, "
        f"`glip-engine show {uri}` shows which versions are whole"
    )


def entry_name(number: int) -> str:
    return f"{HISTORY}/{number:06d}.json"


def seal(entry: Entry) -> bytes:
    """The entry as a file."""
    return document_bytes(SealedEntry(entry=entry, sha256=entry_digest(entry)))


def entry_digest(entry: Entry) -> str:
    return digest_of(entry.model_dump(mode="json"))


def read_state(store: Store) -> State:
    """The pointer and the whole history. No file of a version is read."""
    # The history first: an entry is written after the pointer, so what is found here can never be newer than that.
    numbers = sorted(int(name[:-5]) for name in store.names(HISTORY) if re.fullmatch(r"\d{6,9}\.json", name))
    found, problems = _read_history(store, numbers)
    pointer, entry, fault = _read_pointer(store, max(numbers, default=0))
    if entry is not None and fault is None:
        found.setdefault(entry.number, entry)  # a process died between pointer and history
    entries = tuple(found[number] for number in sorted(found))
    problems += _gaps(store, found, set(numbers))
    problems += [f"{fault}; {go_back(store.root)}"] if fault else []
    return State(store.root, pointer, entry, fault, entries, tuple(problems))


def _read_history(store: Store, numbers: list[int]) -> tuple[dict[int, Entry], list[str]]:
    found, problems = {}, []
    for number, content in zip(numbers, store.read_many([entry_name(n) for n in numbers], MAX_BYTES), strict=True):
        entry = _unseal(content)
        if entry is None or entry.number != number:
            problems.append(f"{store.root}/{entry_name(number)} is damaged: {WITHOUT_IT}")
        else:
            found[number] = entry
    return found, problems


def _read_pointer(store: Store, last: int) -> tuple[Found | None, Entry | None, str | None]:
    where = f"{store.root}/{CURRENT}"
    pointer = read_found(store, CURRENT)
    if pointer is None:
        return None, None, f"{where} is missing, though the history has {last} entries" if last else None
    entry = _unseal(pointer.content)
    if entry is None:
        return pointer, None, f"{where} is damaged: it is not an entry, or not as it was written"
    if entry.number < last:
        return pointer, entry, f"{where} is of entry {entry.number}, though the history goes on to {last}"
    return pointer, entry, None


def _gaps(store: Store, found: dict[int, Entry], there: set[int]) -> list[str]:
    problems = []
    for number in range(1, max(found, default=0) + 1):
        if number not in found and number not in there:
            problems.append(f"{store.root}/{entry_name(number)} is missing: {WITHOUT_IT}")
        before = found.get(number - 1)
        if number in found and before is not None and found[number].previous != entry_digest(before):
            problems.append(f"{store.root}/{entry_name(number)} does not follow on the entry before it")
    return problems


def _unseal(content: bytes) -> Entry | None:
    try:
        sealed = SealedEntry.model_validate_json(content)
    except ValidationError:
        return None
    return sealed.entry if entry_digest(sealed.entry) == sealed.sha256 else None
