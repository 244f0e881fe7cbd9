"""Files of the Hugging Face hub by name: fetched into its cache at a fixed revision, used only if the SHA-256 is right.

In: which file of which repository, and its digest. Out: its path in the cache. Without a network the cache is all there
is, and the error says which file to put where. `huggingface_hub` is imported when a file is asked for.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """One file of a model repository.

    revision: commit, or None where none is known to this project: then `main` is asked for, and the digest decides.
    sha256: of the content, or None where it is not known; then whoever fetches the file has to bring it.
    max_bytes: a larger file is not read.
    """

    repository: str
    name: str
    revision: str | None
    sha256: str | None
    max_bytes: int


def fetch(file: HubFile, sha256: str | None = None, *, otherwise: str) -> Path:
    """The file's path in the hub's cache, downloaded if it is not there; its digest has been checked.

    sha256: what the content must have, in place of the file's own. otherwise: what can be done instead of fetching, for
    the error's last words.

    Raises: FileNotFoundError where it is neither in the cache nor to be had; ValueError where no digest is known, or
    the content has another one or is too large.
    """
    wanted = parse_sha256(sha256) if sha256 is not None else file.sha256
    if wanted is None:
        raise ValueError(
            f"{file.name} of {file.repository}: this project knows no SHA-256 of it, and uses no download unchecked. "
            f"Read it on https://huggingface.co/{file.repository}/blob/{file.revision or 'main'}/{file.name} and pass "
            f"it (--sha256, checkpoint_sha256 or init_sha256 in a recipe, or sha256=); or download it and {otherwise}"
        )
    path = _download(file, otherwise)
    size = path.stat().st_size
    if size > file.max_bytes:
        raise ValueError(f"{path}: {size} bytes, at most {file.max_bytes} for {file.name} of {file.repository}")
    found = file_sha256(path)
    if found != wanted:
        raise ValueError(
            f"{path}: sha256 is {found}, wanted {wanted}; damaged, or not the file that was meant. Delete "
            f"{path.resolve()} and try again"
        )
    return path


def parse_sha256(text: str) -> str:
    """A digest in lower case; ValueError where the text is none."""
    digest = text.strip().lower()
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise ValueError(f"wanted a SHA-256, 64 hexadecimal digits, not {text!r}")
    return digest


def file_sha256(path: Path) -> str:
    """SHA-256 of the file's content, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(file: HubFile, otherwise: str) -> Path:
    from huggingface_hub import constants, hf_hub_download

    try:
        return Path(hf_hub_download(file.repository, file.name, revision=file.revision))
    except Exception as error:  # the client's own errors, its HTTP library's, the system's: it could not be had
        revision = f" --revision {file.revision}" if file.revision else ""
        raise FileNotFoundError(
            f"{file.name} of {file.repository} is not in the cache {constants.HF_HUB_CACHE} and could not be "
            f"downloaded ({_reason(error)}). On a machine with a network run `hf download {file.repository} "
            f"{file.name}{revision} --local-dir FOLDER`, bring the file here and {otherwise}"
        ) from error


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].strip()[:200]}" if lines else type(error).__name__
