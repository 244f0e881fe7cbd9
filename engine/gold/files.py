"""Files of a source as somebody else packed them: no link is followed out of its folder, and text may be of Windows.

In: paths that were found in a folder, and names that annotations give. Out: paths, bytes, text. A folder may be a link
to another disk, and a file that the user names is read wherever it leads; a link that lies in a folder and leads out of
it is not, since an archive may hold one to any file of this machine.
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
"""By the mark that a text begins with: editors of Windows and PowerShell write them."""
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
    """Whether a path that was found in ``folder`` is, by links or "..", one outside of it; False where there is none,
    as of links that lead in a circle."""
    if _has_no_link(file, folder):
        return False
    try:
        return not file.resolve().is_relative_to(folder.resolve())
    except (ValueError, RuntimeError):
        return False


def _has_no_link(file: Path, folder: Path) -> bool:
    """Whether nothing between the two is a link or "..": as of most files, and told without resolving both."""
    try:
        parts = file.relative_to(folder).parts
    except ValueError:
        return False
    paths = accumulate(parts, os.path.join, initial=str(folder))
    return ".." not in parts and not any(map(os.path.islink, islice(paths, 1, None)))


def checked_file(file: Path) -> Path:
    """A file that was found beside others. ValueError where it is a link that leads out of its folder."""
    if leads_out(file, file.parent):
        raise ValueError(
            f"{file} is a link that leads out of its folder and is not followed; put a copy of the file there"
        )
    return file


def read_annotation(file: Path, folder: Path, max_bytes: int) -> bytes | str:
    """The bytes of the annotations of one picture, which were found in ``folder``, or the reason against them:
    ``annotation_outside_folder``, ``annotation_missing``, ``annotation_too_large``."""
    if leads_out(file, folder):
        return "annotation_outside_folder"
    size = file_size(file)
    if size < 0:
        return "annotation_missing"
    return file.read_bytes() if size <= max_bytes else "annotation_too_large"


def annotation_digest(content: bytes | str) -> str:
    """What a fingerprint knows of one picture's annotations: SHA-256 (hex) of the bytes, or the reason against them."""
    return content if isinstance(content, str) else hashlib.sha256(content).hexdigest()


def own_files(folder: Path, pattern: str) -> list[Path]:
    """What matches the pattern in a folder, by name, without what macOS keeps beside its files."""
    return sorted(file for file in folder.glob(pattern) if not is_apple_double(file.name))


def files_below(top: Path) -> Iterator[str]:
    """The files of a folder and its folders by their names below it, without what macOS keeps beside its files.
    ValueError where one of the folders is a link that leads out."""
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
    """Size in bytes, -1 for a file that is not there: what a fingerprint knows of an unread picture. A name from
    outside may be longer than a file's can be."""
    try:
        return path.stat().st_size if path.is_file() else -1
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return -1


def picture_path(folder: Path, file_name: str) -> Path:
    """Where the picture lies that annotations call ``file_name``: under that name, or, where nothing is, with Windows'
    ``\\`` as ``/``, or with accents in the other of the two ways that Unicode has, as files that came from a Mac."""
    other_slash = file_name.replace("\\", "/")
    normal = (unicodedata.normalize(form, other_slash) for form in ("NFC", "NFD"))
    names = dict.fromkeys((file_name, other_slash, *normal))
    if len(names) == 1:
        return folder / file_name
    return next((folder / name for name in names if file_size(folder / name) >= 0), folder / file_name)


def text_of_bytes(content: bytes) -> str:
    """Text by its byte order mark, which is left out, else UTF-8; what cannot be decoded becomes U+FFFD."""
    encoding = next((name for mark, name in ENCODINGS.items() if content.startswith(mark)), "utf-8")
    return content.decode(encoding, errors="replace")


def lines_of(content: bytes) -> list[str]:
    """The lines of a text, whatever ends them, without white space around them; empty ones too, as some are counted."""
    text = text_of_bytes(content).replace("\r\n", "\n").replace("\r", "\n")
    return [line.strip() for line in text.split("\n")]


def odd_content(file: Path) -> str | None:
    """What a file looks like that is none of the wanted kind, and what to do; None where that is not known."""
    with file.open("rb") as opened:
        head = opened.read(64)
    if not head.strip():
        return "it is empty"
    return next((told for mark, told in _OF_OTHERS.items() if head.lstrip().startswith(mark)), None)
