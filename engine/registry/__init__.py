"""The model registry: immutable versions, one pointer to the current one, and the history of its moves.

In: a folder or an ``s3://`` prefix; the files of a model. Out: versions that are checked by SHA-256 whenever they are
read. The layout is in :mod:`schemas.registry`. A version is written first, manifest last; then the pointer moves, by
compare-and-swap (:mod:`engine.storage.compare_and_swap`), which is the commit; then the history gets the same entry. A
process that dies in between leaves a version that never was current, or an entry that the next move adds.
"""

from __future__ import annotations

import getpass
import hashlib
import io
import re
import shutil
import socket
import uuid
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pydantic import ValidationError

from engine.artifacts import COPY_BYTES, Store, digest_file
from engine.registry.state import CURRENT, State, entry_digest, entry_name, go_back, read_state, seal
from engine.storage.compare_and_swap import create, swap
from engine.storage.faults import naming_faults
from schemas.registry import Entry, ModelVersion, VersionFile

VERSIONS, MANIFEST, CLAIM = "versions", "manifest.json", "claim.json"
MAX_VERSION = 999_999


class Registry:
    """A registry at ``uri``. Opening it reads and writes nothing."""

    def __init__(self, uri: str | Path) -> None:
        self.store = Store(uri)
        self.uri = self.store.root

    def state(self) -> State:
        """The pointer and the history, as they are now."""
        return read_state(self.store)

    # ----------------------------------------------------------------------------------------------------- versions

    def address(self, name: str = "") -> str:
        """The registry's address, or that of a file in it: an absolute path or a URL."""
        return (self.store.path(name) if self.store.is_local else f"{self.uri}/{name}").rstrip("/")

    def folder(self, number: int) -> str:
        """The address of a version's folder."""
        return self.address(_name(number, ""))

    def numbers(self) -> list[int]:
        """Numbers of the versions, ascending; also of those that are half-written."""
        return [int(name) for name in self.store.names(VERSIONS) if re.fullmatch(r"\d{6}", name)]

    def version(self, number: int, state: State | None = None) -> ModelVersion:
        """The manifest of a version, checked against the history; its other files are not read.

        ValueError where there is no such version, where it is half-written, or where the manifest has been changed.
        """
        state = state or self.state()
        where = f"{self.uri}/{_name(number, MANIFEST)}"
        try:
            content = self.store.read(_name(number, MANIFEST), 1_000_000)
            version = ModelVersion.model_validate_json(content)
        except FileNotFoundError:
            raise ValueError(f"{where} is missing: {self._which(number, state)}") from None
        except ValidationError:
            raise ValueError(f"{where} is damaged: it is not a manifest of a version; {go_back(self.uri)}") from None
        wanted, found = state.recorded(number), hashlib.sha256(content).hexdigest()
        if version.version != number or wanted not in (None, found):
            raise ValueError(
                f"{where} is damaged: its SHA-256 is {found}, the history says {wanted}; {go_back(self.uri)}"
            )
        return version

    def check(self, number: int, state: State | None = None) -> ModelVersion:
        """As :meth:`version`, with every file of it read and compared with the manifest."""
        version = self.version(number, state)
        for file in version.files:
            self._copy_checked(number, file, None)
        return version

    def fetch(self, number: int, folder: Path) -> ModelVersion:
        """Copy the files of a version into ``folder``, which is created; each file is checked on the way. ValueError as
        of :meth:`check`."""
        version = self.version(number)
        folder.mkdir(parents=True, exist_ok=True)
        for file in version.files:
            with (folder / file.name).open("wb") as copy:
                self._copy_checked(number, file, copy)
        return version

    def read(self, number: int, name: str, max_bytes: int = 100_000_000) -> bytes | None:
        """One small file of a version, checked; None where the version has none of that name."""
        file = next((one for one in self.version(number).files if one.name == name), None)
        if file is None:
            return None
        if file.size > max_bytes:
            raise ValueError(f"{self.uri}/{_name(number, name)} has {file.size} bytes, at most {max_bytes} are read")
        copy = io.BytesIO()
        self._copy_checked(number, file, copy)
        return copy.getvalue()

    def _copy_checked(self, number: int, file: VersionFile, copy: BinaryIO | None) -> None:
        where = f"{self.uri}/{_name(number, file.name)}"
        digest, size = hashlib.sha256(), 0
        try:
            with closing(self.store.open(_name(number, file.name))) as source:
                while size <= file.size:
                    with naming_faults(where, "read", local=self.store.is_local):
                        chunk = source.read(COPY_BYTES)
                    if not chunk:
                        break
                    digest.update(chunk)
                    size += len(chunk)
                    if copy is not None:
                        copy.write(chunk)
        except FileNotFoundError:
            raise ValueError(f"{where} is missing; {go_back(self.uri)}") from None
        if size != file.size or digest.hexdigest() != file.sha256:
            raise ValueError(f"{where} is damaged: size or SHA-256 is not the manifest's; {go_back(self.uri)}")

    def _which(self, number: int, state: State) -> str:
        if number in self.numbers() and state.recorded(number) is None:
            return "the version is half-written, it never was current; promote the model again"
        current = state.entry
        if current is not None and current.version == number:
            return f"the pointer leads to nothing; {go_back(self.uri)}"
        there = ", ".join(str(other) for other in self.numbers()) or "none"
        return f"there is no version {number} (there are: {there}); see `glip-engine show {self.uri}`"

    # ------------------------------------------------------------------------------------------------------ writing

    def write_version(self, files: Mapping[str, Path | bytes], replaces: int | None, **digests: Any) -> ModelVersion:
        """Write the files as a version that nothing points to yet. If a version with the same files and ``replaces`` is
        there, it is returned instead. ``digests`` are those of :class:`~schemas.registry.ModelVersion`."""
        described = [_describe(name, content) for name, content in files.items()]
        fields = {"files": described, "replaces": replaces, **digests}
        return self._same_version(fields) or self._write(files, fields)

    def _same_version(self, fields: dict[str, Any]) -> ModelVersion | None:
        """The same version, left by a process that died, or lost the race, before it could move the pointer; None if
        there is none."""
        for number in reversed(self.numbers()):
            try:
                there = self.version(number)
            except ValueError:
                continue
            if there == ModelVersion(version=number, **fields):
                return self.check(number)
        return None

    def _write(self, files: Mapping[str, Path | bytes], fields: dict[str, Any]) -> ModelVersion:
        # Never a number that was used before, even if its folder is gone: the history would mix both versions.
        number = max([*self.numbers(), *(entry.version for entry in self.state().entries)], default=0) + 1
        while not create(self.store, _name(number, CLAIM), f'{{"token": "{uuid.uuid4().hex}"}}\n'.encode()):
            number += 1
        if number > MAX_VERSION:
            raise ValueError(f"{self.uri} holds {MAX_VERSION} versions, no more have a number; begin another registry")
        version = ModelVersion(version=number, **fields)
        for name, content in files.items():
            with self.store.writing(_name(number, name)) as target, closing(_opened(content)) as source:
                shutil.copyfileobj(source, target, COPY_BYTES)
        for file in version.files:  # the copy must have the digests: a file may have changed since
            self._copy_checked(number, file, None)
        self.store.write_document(_name(number, MANIFEST), version)
        return version

    def move(
        self,
        before: State,
        version: ModelVersion,
        action: Literal["promote", "rollback"],
        reason: str,
        forced: str | None = None,
    ) -> Entry:
        """Point to ``version``, if the pointer still stands as in ``before``. ValueError where another process has
        moved it since."""
        number = before.last_number + 1
        while self.store.exists(entry_name(number)):  # damaged ones keep their numbers
            number += 1
        last = before.entries[-1] if before.entries else None
        entry = Entry(
            number=number,
            action=action,
            version=version.version,
            manifest_sha256=self.store.digest(_name(version.version, MANIFEST))[0],
            model_digest=version.model_digest,
            replaced=before.entry.version if before.entry else None,
            reason=reason,
            forced=forced,
            previous=entry_digest(last) if last else None,
            token=uuid.uuid4().hex,
            who=_who(),
            when=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        if last is not None and not self.store.exists(entry_name(last.number)):
            create(self.store, entry_name(last.number), seal(last))
        if not swap(self.store, CURRENT, before.pointer, seal(entry)):
            raise ValueError(self._overtaken(version, action))
        create(self.store, entry_name(number), seal(entry))
        return entry

    def _overtaken(self, version: ModelVersion, action: str) -> str:
        now = self.state().entry
        moved = f"{now.action} to version {now.version}, by {now.who}" if now else "its pointer is gone"
        return (
            f"{self.uri}: another process was faster ({moved}); this {action} to version {version.version} was not "
            "done. Look at `glip-engine history`, compare with what is current now, and run the command again"
        )


def _name(number: int, name: str) -> str:
    return f"{VERSIONS}/{number:06d}/{name}"


def _opened(content: Path | bytes) -> BinaryIO:
    return io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")


def _describe(name: str, content: Path | bytes) -> VersionFile:
    with closing(_opened(content)) as file:
        sha256, size = digest_file(file)
    return VersionFile(name=name, sha256=sha256, size=size)


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user of a container without a name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"[:200]
