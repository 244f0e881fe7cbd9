"""Untrusted files of a source: no link is followed out of its folder, and text may be encoded as on Windows.

In: paths found in a folder, and names from annotations. Out: paths, bytes, text. A folder may be a link to another
disk, and a file that the user names is read wherever it leads. But a link inside of a folder that leads out of it is
refused, since an archive may contain links to any file of this machine.
"""

from __future__ import annotations

import codecs
import errno
import hashlib
import os
import unicodedata
from collections.abc import Iterator
from itertools import accumulate, islice
from pathlib import Path

from engine.sources.hidden_files import is_apple_double

ENCODINGS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""Encodings by byte order mark, which editors on Windows and PowerShell write."""
_OF_OTHERS = {
    b"\x1f\x8b": "it is compressed by gzip; unpack it first",
    b"PK\x03\x04": "it is a zip archive; unpack it first",
    b"\x80": "it is a pickle of Python, which may run code and is not opened",
    b"version https://git-lfs": "it is a pointer of Git LFS; fetch the file itself with `git lfs pull`",
    b"<": "it is HTML or XML, perhaps the page of a failed download",
    codecs.BOM_UTF16_LE: "it is in UTF-16; save it as UTF-8",
    codecs.BOM_UTF16_BE: "it is in UTF-16; save it as UTF-8",
}


def leads_out(file: Path, folder: Path) -> bool:
    """Whether a path found in ``folder`` leads, by links or "..", out of it. False where it leads to no file, as links
    in a circle do."""
    if _has_no_link(file, folder):
        return False
    try:
        return not file.resolve().is_relative_to(folder.resolve())
    except (ValueError, RuntimeError):
        return False


def _has_no_link(file: Path, folder: Path) -> bool:
    """Whether nothing below ``folder`` in the path is a link or "..": true for most files, and cheap to check."""
    try:
        parts = file.relative_to(folder).parts
    except ValueError:
        return False
    paths = accumulate(parts, os.path.join, initial=str(folder))
    return ".." not in parts and not any(map(os.path.islink, islice(paths, 1, None)))


def checked_file(file: Path) -> Path:
    """The file itself. ValueError where it is a link that leads out of its folder."""
    if leads_out(file, file.parent):
        raise ValueError(
            f"{file} is a link that leads out of its folder and is not followed; put a copy of the file there"
        )
    return file


def read_annotation(file: Path, folder: Path, max_bytes: int) -> bytes | str:
    """The bytes of one picture's annotation file, found in ``folder``; or the reason why not:
    ``annotation_outside_folder``, ``annotation_missing``, ``annotation_too_large``."""
    if leads_out(file, folder):
        return "annotation_outside_folder"
    size = file_size(file)
    if size < 0:
        return "annotation_missing"
    return file.read_bytes() if size <= max_bytes else "annotation_too_large"


def annotation_digest(content: bytes | str) -> str:
    """One picture's annotations for a fingerprint: SHA-256 (hex) of the bytes, or the reason why they are missing."""
    return content if isinstance(content, str) else hashlib.sha256(content).hexdigest()


def own_files(folder: Path, pattern: str) -> list[Path]:
    """The files of a folder that match the pattern, sorted, without macOS' AppleDouble files."""
    return sorted(file for file in folder.glob(pattern) if not is_apple_double(file.name))


def files_below(top: Path) -> Iterator[str]:
    """The files of a folder and its subfolders, by relative path, without macOS' AppleDouble files. ValueError where a
    subfolder is a link that leads out."""
    for folder, folders, names in os.walk(top):
        for link in (Path(folder, name) for name in folders):
            if link.is_symlink() and leads_out(link, top):
                raise ValueError(
                    f"{link} is a link that leads out of {top} and is not followed; import it alone with --split, or "
                    "put the folder itself there"
                )
        below = "" if Path(folder) == top else f"{Path(folder).relative_to(top).as_posix()}/"
        yield from (below + name for name in names if not is_apple_double(name))


def file_size(path: Path) -> int:
    """The size of a file in bytes, which stands for an unread picture in a fingerprint; -1 for a missing file, also if
    its name, which is untrusted, is too long for one."""
    try:
        return path.stat().st_size if path.is_file() else -1
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return -1


def picture_path(folder: Path, file_name: str) -> Path:
    """The path of the picture that annotations call ``file_name``: under that name, or, if there is no such file, with
    Windows' ``\\`` as ``/``, or in another normal form of Unicode (NFC, NFD), as files from a Mac may be."""
    other_slash = file_name.replace("\\", "/")
    normal = (unicodedata.normalize(form, other_slash) for form in ("NFC", "NFD"))
    names = dict.fromkeys((file_name, other_slash, *normal))
    if len(names) == 1:
        return folder / file_name
    return next((folder / name for name in names if file_size(folder / name) >= 0), folder / file_name)


def text_of_bytes(content: bytes) -> str:
    """The text of bytes, decoded by their byte order mark, which is left out, else as UTF-8; bad bytes become
    U+FFFD."""
    encoding = next((name for mark, name in ENCODINGS.items() if content.startswith(mark)), "utf-8")
    return content.decode(encoding, errors="replace")


def lines_of(content: bytes) -> list[str]:
    """The lines of a text with any line ends, without surrounding white space; also empty lines, since some count."""
    text = text_of_bytes(content).replace("\r\n", "\n").replace("\r", "\n")
    return [line.strip() for line in text.split("\n")]


def odd_content(file: Path) -> str | None:
    """For a file of the wrong kind: what it looks like, and what to do; None where that is unknown."""
    with file.open("rb") as opened:
        head = opened.read(64)
    if not head.strip():
        return "it is empty"
    return next((told for mark, told in _OF_OTHERS.items() if head.lstrip().startswith(mark)), None)
