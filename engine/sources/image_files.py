"""Pictures by name in a folder that the user named.

In: names from outside (a JSON's ``file_name``, a table's path). Out: the file's bytes, or the reason why not. No name
leads out of the folder, whether by ``..``, by an absolute path or by a symbolic link.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import fsspec

from engine.sources.places import is_local, many_at_once
from engine.sources.sayable import sayable
from engine.sources.whole_files import read_most

# Of names; whether a file is such a picture is told by its first bytes.
ENDINGS = (
    "jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "heic", "heif", "jpe", "jfif", "jp2", "j2k",
    "jpx", "ppm", "pgm", "pbm", "pnm", "ico", "svg",
)  # fmt: skip
_UNSAFE = re.compile(r"[\x00-\x1f\\\ud800-\udfff]|^[A-Za-z]:|^~|://")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why there is no sample: ``reason`` is a fixed word to count by, ``message`` is for a person."""

    reason: str
    message: str


class ImageFolder:
    """A folder of pictures, local or of an object store. ValueError where a local one does not exist."""

    def __init__(self, uri: str, max_image_bytes: int) -> None:
        self._uri, self._max_bytes = uri.rstrip("/"), max_image_bytes
        try:
            self._system, self._root = fsspec.core.url_to_fs(self._uri)
        except ImportError as error:
            raise ValueError(f"images {uri}: a package is not installed ({error}); see the extra s3") from None
        if is_local(self._system) and not Path(self._root).is_dir():
            raise ValueError(f"images {uri} is not a folder; give the folder that the names of the pictures start from")
        self._real_root = os.path.realpath(self._root)  # of a local folder

    def read_all(self, names: Iterable[str]) -> Iterator[bytes | Problem]:
        """The bytes of each picture, in order; of an object store many at once, ahead of what is taken."""
        if is_local(self._system):
            return map(self.read, names)
        return many_at_once(self.read, names)

    def read(self, name: str) -> bytes | Problem:
        """The bytes of one picture. Reasons: ``path_unsafe``, ``image_missing``, ``image_forbidden``,
        ``image_too_large``."""
        shown = sayable(name)[:200]
        pure = PurePosixPath(name)
        if not name or pure.is_absolute() or ".." in pure.parts or _UNSAFE.search(name):
            return Problem("path_unsafe", f"{shown!r} leads out of the folder or is not a path")
        path = f"{self._root}/{name}"
        if self._leads_out(path):
            return Problem("path_unsafe", f"{shown!r} is a link that leads out of the folder")
        if is_local(self._system) and _may_never_end(path):
            return Problem("path_unsafe", f"{shown!r} is a pipe or a device, not a file")
        try:
            with self._system.open(path, "rb") as file:
                content = read_most(file, self._max_bytes + 1)
        except PermissionError:
            if not is_local(self._system):  # of a store: its credentials have ended, and with them every picture
                raise
            return Problem("image_forbidden", f"{shown!r} may not be read")
        except OSError as error:
            if not _is_of_the_name(error):
                raise
            if other := self._spelt_otherwise(name):
                return self.read(other)
            return Problem("image_missing", f"there is no {shown!r} in {self._uri}")
        if len(content) > self._max_bytes:
            return Problem("image_too_large", f"{shown!r} has more than {self._max_bytes} bytes, max_image_bytes")
        return content

    def _spelt_otherwise(self, name: str) -> str | None:
        """The name with accents in the other of the two ways that Unicode has, as files that came from a Mac, where a
        local file is called so."""
        if name.isascii() or not is_local(self._system):
            return None
        both = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
        return next((one for one in both if one != name and os.path.isfile(f"{self._root}/{one}")), None)

    def _leads_out(self, path: str) -> bool:
        """Whether a path of a local folder is, by links, one of another."""
        return is_local(self._system) and not Path(os.path.realpath(path)).is_relative_to(self._real_root)


def _may_never_end(path: str) -> bool:
    """Whether a local path is there and is neither file nor folder: a pipe is waited for until somebody writes."""
    try:
        mode = os.stat(path).st_mode
    except OSError:  # which is told where it is opened
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _is_of_the_name(error: OSError) -> bool:
    """Whether it is the name that leads to no file; of anything else, another picture may suffer too."""
    missing = isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError)
    return missing or error.errno in (errno.ENAMETOOLONG, errno.ELOOP)
