"""What a disk may hold of a folder after the power was cut, at any moment of the work that was done in it.

In: a folder, and the block that works in it. Out: the states of the folder, each to be put elsewhere and read, or gone
on with. What counts as lost is what POSIX lets a file system lose, more than most of them do: of a file the content
that came after its last fsync, of a folder each name that was given, moved or taken away since the folder's last fsync,
whatever became of the others. A folder that is new keeps its own name only by an fsync of the one that it is in.

The method is that of ALICE (Pillai et al., OSDI 2014): the calls are recorded, the states are built from the record.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.storage.local_files import TEMPORARY_PREFIX

Names = dict[str, int | None]  # what a change of a folder says: the number of what has the name now, None of nothing
State = dict[str, bytes | None]  # content of files by path; None of a folder
ROOT = 0
NAMING = ("rename", "replace", "mkdir", "unlink", "remove", "rmdir")


@dataclass
class _File:
    """``content`` as a process sees it, ``kept`` as of the last fsync."""

    content: bytes = b""
    kept: bytes = b""
    stamp: tuple[int, int] = (-1, -1)


@dataclass
class _Folder:
    """``names`` as a process sees them, ``kept`` as of the last fsync, and the changes in between."""

    names: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    changes: list[Names] = field(default_factory=list)

    def change(self, names: Names) -> None:
        self.changes.append(names)
        self.names = _changed(self.names, [names])


@dataclass(frozen=True)
class _Moment:
    """All that a cut at this moment could leave."""

    files: Mapping[int, tuple[bytes, bytes]]
    folders: Mapping[int, tuple[dict[str, int], list[Names]]]

    def states(self) -> Iterator[State]:
        changes = [(folder, number) for folder, (_, all_) in self.folders.items() for number in range(len(all_))]
        every = frozenset(changes)
        lost = [every, frozenset(), *(every - {one} for one in changes), *(frozenset({one}) for one in changes)]
        for one in dict.fromkeys(lost):
            yield from (self._state(one, cut) for cut in (_all, _nothing, _half_of_it_zeros))

    def _state(self, lost: Collection[tuple[int, int]], cut: Callable[[bytes, bytes], bytes]) -> State:
        found: State = {}

        def walk(folder: int, path: str) -> None:
            kept, changes = self.folders[folder]
            held = [change for number, change in enumerate(changes) if (folder, number) not in lost]
            for name, what in _changed(kept, held).items():
                if what in self.folders:
                    found[f"{path}{name}"] = None
                    walk(what, f"{path}{name}/")
                else:
                    found[f"{path}{name}"] = cut(*self.files[what])

        walk(ROOT, "")
        return found


def _different(states: Iterator[State]) -> Iterator[State]:
    told: set[frozenset[tuple[str, bytes | None]]] = set()
    for state in states:
        visible = {path: content for path, content in state.items() if TEMPORARY_PREFIX not in path}
        key = frozenset(visible.items())
        if key not in told:
            told.add(key)
            yield visible


def _changed(names: Mapping[str, int], changes: list[Names]) -> dict[str, int]:
    for change in changes:
        names = {name: what for name, what in {**names, **change}.items() if what is not None}
    return dict(names)


def _all(content: bytes, kept: bytes) -> bytes:
    return content


def _nothing(content: bytes, kept: bytes) -> bytes:
    return kept


def _half_of_it_zeros(content: bytes, kept: bytes) -> bytes:
    """The length is there, and not all that was added."""
    whole = (len(kept) + len(content)) // 2
    return content[:whole] + bytes(max(0, len(content) - whole))


class DiskRecord:
    """The moments of the work in a folder: what the block does to names through ``os``, and every fsync, of any thread;
    what comes otherwise, and contents, are read from the disk at each of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.moments: list[_Moment] = []
        self._files: dict[int, _File] = {}
        self._folders: dict[int, _Folder] = {ROOT: _Folder()}
        self._number = ROOT
        self._seen: dict[int, int] = {}  # numbers by inode, of what has a name
        self._lock = threading.RLock()
        self._look(root, ROOT)
        for one in self._folders.values():  # what was there before is on the disk
            one.kept, one.changes = dict(one.names), []
        for file in self._files.values():
            file.kept = file.content

    def states(self) -> Iterator[State]:
        """The different states at all moments, temporary files left out."""
        return _different(state for moment in self.moments for state in moment.states())

    def states_at_the_end(self) -> Iterator[State]:
        """Those after the block has ended."""
        return _different(self.moments[-1].states())

    # -------------------------------------------------------------------------------------------------- recording

    def __enter__(self) -> DiskRecord:
        self._before = {name: getattr(os, name) for name in (*NAMING, "fsync")}
        for name in NAMING:
            setattr(os, name, self._naming(self._before[name], name))
        os.fsync = self._fsync(self._before["fsync"])
        return self

    def __exit__(self, *_: object) -> None:
        for name, call in self._before.items():
            setattr(os, name, call)
        self._look(self.root, ROOT)
        self._note()

    def _naming(self, really: Callable[..., Any], call: str) -> Callable[..., Any]:
        def named(path: Any, *more: Any, **options: Any) -> Any:
            with self._lock:
                self._look(self.root, ROOT)
                folder, name = self._place(path, options.get("dir_fd"))
                answer = really(path, *more, **options)
                if folder is None:
                    return answer
                if call == "mkdir":
                    self._add(folder, name, Path(path))
                elif call in ("rename", "replace"):
                    there, new_name = self._place(more[0], None)
                    assert there is folder, "work moves nothing between folders"
                    self._forget(folder.names.get(new_name))
                    folder.change({name: None, new_name: folder.names[name]})
                else:
                    self._forget(folder.names[name])
                    folder.change({name: None})
                self._note()
                return answer

        return named

    def _fsync(self, really: Callable[[int], None]) -> Callable[[int], None]:
        def fsync(opened: Any) -> None:
            with self._lock:
                self._look(self.root, ROOT)
                really(opened)
                number = self._seen.get(os.fstat(opened).st_ino)
                if number in self._folders:
                    folder = self._folders[number]
                    folder.kept, folder.changes = dict(folder.names), []
                elif number in self._files:
                    self._files[number].kept = self._files[number].content
                self._note()

        return fsync

    def _place(self, path: Any, opened: int | None) -> tuple[_Folder | None, str]:
        """The folder that a name is in, and the name; no folder where that is not inside of the root."""
        parent, name = os.path.split(os.fspath(path))
        found = os.fstat(opened) if opened is not None else os.stat(parent or ".")
        return self._folders.get(self._seen.get(found.st_ino, -1)), name

    def _look(self, path: Path, number: int) -> None:
        """Take in what has come by other calls: new files, and what was written."""
        if number == ROOT:
            self._seen[path.stat().st_ino] = ROOT
        folder = self._folders[number]
        for name in sorted(set(os.listdir(path)) - folder.names.keys()):
            self._add(folder, name, path / name)
        for name, what in folder.names.items():
            if what in self._folders:
                self._look(path / name, what)
            else:
                self._read(self._files[what], path / name)

    def _add(self, folder: _Folder, name: str, path: Path) -> None:
        self._number += 1
        self._seen[path.stat().st_ino] = self._number
        if path.is_dir():
            self._folders[self._number] = _Folder()
        else:
            self._files[self._number] = _File()
        folder.change({name: self._number})

    def _read(self, file: _File, path: Path) -> None:
        stamp = (path.stat().st_size, path.stat().st_mtime_ns)
        if stamp != file.stamp:
            file.content, file.stamp = path.read_bytes(), stamp

    def _forget(self, number: int | None) -> None:
        """Its inode is given to others."""
        self._seen = {inode: one for inode, one in self._seen.items() if one != number}

    def _note(self) -> None:
        files = {number: (file.content, file.kept) for number, file in self._files.items()}
        folders = {number: (dict(one.kept), list(one.changes)) for number, one in self._folders.items()}
        self.moments.append(_Moment(files, folders))


def put(state: State, folder: Path) -> Path:
    """The folder as the disk has it after the cut, in place of what was put there before."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path, content in state.items():
        if content is None:
            (folder / path).mkdir(parents=True, exist_ok=True)
        else:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
    return folder
