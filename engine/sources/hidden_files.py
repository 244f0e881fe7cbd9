"""What lies in folders and archives although nobody put it there.

In: paths. Out: whether they are passed over; the files of a local folder with its folders.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator


def is_apple_double(path: str) -> bool:
    """Whether a file is what macOS keeps beside another (``._dog.jpg`` of ``dog.jpg``) where the disk or the archive
    cannot hold it otherwise."""
    return posixpath.basename(path).startswith("._")


def is_hidden(folder: str) -> bool:
    """Whether a folder is one of programs, or lies in one: ``.thumbnails``, ``__MACOSX``."""
    return any(part.startswith(".") or part == "__MACOSX" for part in folder.split("/"))


def walked(folder: str) -> Iterator[str]:
    """The files of a local folder and its folders; a link to a folder is not followed, since it may lead back."""
    for path, _, names in os.walk(folder):
        yield from (f"{path}/{name}" for name in names)
