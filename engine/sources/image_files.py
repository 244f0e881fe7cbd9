"""Pictures by name in a folder that the user chose.

In: untrusted names (a JSON's ``file_name``, a table's path). Out: the file's bytes, or the reason why not. No name
leads out of the folder, whether by ``..``, by an absolute path or by a symbolic link.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from engine.sources import Problem
from engine.sources.places import is_local
from engine.sources.sayable import sayable
from engine.sources.web_files import file_system_at
from engine.sources.whole_files import read_most
from engine.storage.many_at_once import many_at_once

# Extensions of names; whether a file really is such a picture is decided by its first bytes.
ENDINGS = (
    "jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "heic", "heif", "jpe", "jfif", "jp2", "j2k",
    "jpx", "ppm", "pgm", "pbm", "pnm", "ico", "svg",
)  # fmt: skip
_UNSAFE = re.compile(r"[\x00-\x1f\\\ud800-\udfff]|^[A-Za-z]:|^~|://")


class ImageFolder:
    """A folder of pictures, local or of an object store. ValueError where a local one does not exist."""

    def __init__(self, uri: str, max_image_bytes: int) -> None:
        self._uri, self._max_bytes = uri.rstrip("/"), max_image_bytes
        try:
            self._system, self._root = file_system_at(self._uri)
        except ImportError as error:
            raise ValueError(f"images {uri}: a package is not installed ({error}); see the extra s3") from None
        if is_local(self._system) and not Path(self._root).is_dir():
            raise ValueError(f"images {uri} is not a folder; give the folder that the names of the pictures start from")
        self._real_root = os.path.realpath(self._root)  # used only for a local folder

    def read_all(self, names: Iterable[str]) -> Iterator[bytes | Problem]:
        """The bytes of each picture, in order; from an object store many are read ahead at once."""
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
            if not is_local(self._system):  # a store's credentials have expired: no picture could be read any more
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
        """The name in Unicode's other normal form (NFC or NFD) if a local file has it, as files from a Mac may."""
        if name.isascii() or not is_local(self._system):
            return None
        both = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
        return next((one for one in both if one != name and os.path.isfile(f"{self._root}/{one}")), None)

    def _leads_out(self, path: str) -> bool:
        """Whether a local path leads, by symbolic links, out of the folder."""
        return is_local(self._system) and not Path(os.path.realpath(path)).is_relative_to(self._real_root)


def _may_never_end(path: str) -> bool:
    """Whether a local path is a pipe or a device, whose reading may never end."""
    try:
        mode = os.stat(path).st_mode
    except OSError:  # reported when the file is opened
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _is_of_the_name(error: OSError) -> bool:
    """Whether the error means that the name leads to no file. Any other error may affect other pictures, too."""
    missing = isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError)
    return missing or error.errno in (errno.ENAMETOOLONG, errno.ELOOP)
