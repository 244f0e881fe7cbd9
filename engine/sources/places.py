"""The files of a source: in a folder, one file, a glob or a brace expansion, local or in an object store.

In: a uri. Out: its files, by names relative to their common folder, and ways to open one: directly, by range reads, or
as a copy in an unnamed temporary file that disappears with the process, however that ends.
"""

from __future__ import annotations

import io
import itertools
import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from braceexpand import braceexpand

from engine.sources.hidden_files import is_apple_double, is_hidden, walked
from engine.sources.web_files import file_system_at
from engine.sources.whole_files import fetched
from engine.storage.many_at_once import Item, Result, many_at_once

MAX_FILES = 1_000_000
RANGE_BYTES = 1 << 16  # in one range read: a tar's header and usually the small members after it
NONE_HERE = "the folder has no file that could be the source"
NAMED_KINDS = 6  # extensions that a message names at most; pictures have many
_RANGE = re.compile(r"\{(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?\}")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a source. ``name``: relative to the common folder. ``size``: in bytes, None where it is not known."""

    name: str
    path: str
    size: int | None


class Files:
    """The files of a source in order of their paths, at least one. Picklable.

    ValueError in one line where there is none, a file of a brace expansion is missing, or they cannot be listed.
    """

    def __init__(self, uri: str, suffixes: tuple[str, ...], *, deep: bool = False) -> None:
        """``suffixes``: in lower case, files may have them in any case. ``deep``: include files in subfolders."""
        self._wanted, self._deep = suffixes, deep
        try:
            expanded = _expanded(uri)
            self.system, _ = file_system_at(expanded[0])
            self.system.invalidate_cache()
            paths = self._find(expanded)
            sizes = list(self.each(self._size, paths))
        except ValueError as error:
            raise ValueError(f"source {uri}: {error}") from error
        except ImportError as error:
            raise ValueError(
                f"source {uri} needs a package that is not installed ({error}); see the extra s3"
            ) from None
        except Exception as error:  # errors of an object store's client have no common class; the cause is kept
            raise ValueError(f"source {uri} cannot be listed: {type(error).__name__}: {error}") from error
        if not paths:
            kinds = " or ".join(suffixes[:NAMED_KINDS])
            raise ValueError(f"source {uri}: {self._instead(uri)}; wanted a {kinds} file, a folder of these, or a glob")
        root = self._folder(uri) or _common_folder(paths)
        self.all = [
            SourceFile(path.removeprefix(root).partition("?")[0].lstrip("/"), path, size)
            for path, size in zip(paths, sizes, strict=True)
        ]
        self.root = root
        self._of_name = {file.name: file for file in self.all}

    @property
    def is_local(self) -> bool:
        return is_local(self.system)

    @property
    def _is_web(self) -> bool:
        return "http" in _protocols(self.system)

    def __getitem__(self, name: str) -> SourceFile:
        return self._of_name[name]

    def each(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """The results of ``work`` for each item, in order; many at once where each is a request over a network."""
        if self.is_local or len(items) < 2:
            return map(work, items)
        return many_at_once(work, items)

    def open(self, file: SourceFile) -> BinaryIO:
        """Open a file for reading and seeking; in an object store by range reads, small enough for a tar's headers."""
        if self.is_local:
            return open(file.path, "rb")
        remote = cast(BinaryIO, self.system.open(file.path, "rb", block_size=RANGE_BYTES, cache_type="readahead"))
        if self._is_web and not _answers_ranges(remote):
            remote.close()
            return self.open_whole(file)
        return remote

    def open_lines(self, file: SourceFile) -> BinaryIO:
        """Like :meth:`open`, for ``readline(size)``, whose limit fsspec's own files ignore."""
        opened = self.open(file)
        return opened if self.is_local else cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, opened)))

    def open_whole(self, file: SourceFile) -> BinaryIO:
        """Open a file for reading and seeking in all of it; from an object store, a copy in an unnamed temporary file.
        Errors as :func:`~engine.sources.whole_files.fetched`."""
        if self.is_local:
            return open(file.path, "rb")
        return fetched(self.system, file.path, file.size, is_web=self._is_web)

    def read_single(self, most: int) -> bytes | None:
        """The content of the only file; None where there are several, or it has more than ``most`` bytes."""
        if len(self.all) > 1 or (self.all[0].size or 0) > most:
            return None
        with self.open_whole(self.all[0]) as file:
            content = file.read(most + 1)
        return content if len(content) <= most else None

    def _find(self, expanded: Sequence[str]) -> list[str]:
        """The files of all uris of a brace expansion, sorted. ValueError where one of several has none."""
        found = list(self.each(self._at, expanded))
        empty = [one for one, paths in zip(expanded, found, strict=True) if not paths]
        if empty and len(expanded) > 1:
            raise ValueError(f"of {len(expanded)} files {len(empty)} are missing, the first is {empty[0]}")
        return sorted(set(itertools.chain.from_iterable(found)))

    def _at(self, uri: str) -> list[str]:
        """The files of one expanded uri. A path with a wanted suffix is never listed: over HTTP that downloads it."""
        system = self.system
        path = str(system._strip_protocol(uri))
        if "*" in path or ("[" in path and not system.exists(path)):
            return self._of_kind(entry for entry in system.glob(path) if not entry.endswith("/"))
        if self._is_wanted(path):
            return [path] if system.isfile(path) else []
        if system.isdir(path):
            return self._in_folder(path.rstrip("/"))
        return [path] if system.isfile(path) else []

    def _folder(self, uri: str) -> str:
        """``uri`` as the root of names, if it is a folder whose subfolders are listed too; else ""."""
        path = str(self.system._strip_protocol(uri)).rstrip("/")
        return f"{path}/" if self._deep and self.system.isdir(path) else ""

    def _in_folder(self, folder: str) -> list[str]:
        """The wanted files in a folder and, if ``deep``, in its subfolders that are not hidden."""
        if not self._deep:
            return self._of_kind(self.system.ls(folder, detail=False))
        found = walked(folder) if self.is_local else self.system.find(folder)
        return self._of_kind(path for path in found if not is_hidden(posixpath.dirname(path.removeprefix(folder))))

    def _instead(self, uri: str) -> str:
        """What is at ``uri``, for the message that it has no files; with a glob if there are some in subfolders."""
        if not self.is_local:
            return "nothing is there, or the place does not answer"
        if not os.path.isdir(uri):
            return "nothing is there"
        below = next((path for path in walked(uri) if self._is_wanted(path)), None)
        if below is None:
            return NONE_HERE
        ending = next(suffix for suffix in self._wanted if below.lower().endswith(suffix))
        return f"{NONE_HERE}; there are some in folders of it: '{uri.rstrip('/')}/**/*{ending}'"

    def _of_kind(self, paths: Iterable[str]) -> list[str]:
        return [path for path in paths if self._is_wanted(path) and not is_apple_double(path)]

    def _is_wanted(self, path: str) -> bool:
        return path.partition("?")[0].lower().endswith(self._wanted)

    def _size(self, path: str) -> int | None:
        try:
            told = self.system.info(path)
        except FileNotFoundError:  # a broken link, which is reported when it is opened
            return None
        if told["type"] == "other":
            raise ValueError(f"{path} is a pipe or a device, which may be waited for without end; move it elsewhere")
        return None if told["size"] is None else int(told["size"])


def _expanded(uri: str) -> list[str]:
    # Looked at before: braceexpand keeps all numbers of a range in memory.
    ranges = ((int(first), int(last), int(step or 1)) for first, last, step in _RANGE.findall(uri))
    too_long = any(abs(last - first) // max(abs(step), 1) > MAX_FILES for first, last, step in ranges)
    expanded = [] if too_long else list(itertools.islice(braceexpand(uri), MAX_FILES + 1))
    if too_long or len(expanded) > MAX_FILES:
        raise ValueError(f"the braces stand for more than {MAX_FILES} files; give them in parts")
    return expanded


def _answers_ranges(remote: BinaryIO) -> bool:
    """Whether a web server answers a range request with that range; many send the whole file instead."""
    try:
        remote.seek(1)
        remote.read(1)
        remote.seek(0)
    except ValueError:  # fsspec's, for an answer without the range, and for a file that it can only stream
        return False
    return True


def is_local(system: Any) -> bool:
    return "file" in _protocols(system)


def _protocols(system: Any) -> tuple[str, ...]:
    protocol = system.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _common_folder(paths: Sequence[str]) -> str:
    """The folder that contains all paths. ``posixpath.commonpath`` would turn ``http://`` into ``http:/``."""
    folders = [posixpath.dirname(path.partition("?")[0]) + "/" for path in paths]
    common = os.path.commonprefix(folders)  # noqa: RUF071 - cut at a slash below
    return common[: common.rfind("/") + 1]
