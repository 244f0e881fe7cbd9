"""Hidden files: those that systems and programs leave in folders and archives.

In: paths. Out: whether to ignore them; the files of a local folder and its subfolders.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator


def is_apple_double(path: str) -> bool:
    """Whether a file is one of macOS' AppleDouble files (``._dog.jpg`` beside ``dog.jpg``), which hold attributes that
    the disk or the archive cannot hold otherwise."""
    return posixpath.basename(path).startswith("._")


def is_hidden(folder: str) -> bool:
    """Whether a folder is a hidden one, or is inside of one: ``.thumbnails``, ``__MACOSX``."""
    return any(part.startswith(".") or part == "__MACOSX" for part in folder.split("/"))


def walked(folder: str) -> Iterator[str]:
    """The files of a local folder and its subfolders. Links to folders are not followed, since they may lead back."""
    for path, _, names in os.walk(folder):
        yield from (f"{path}/{name}" for name in names)
