"""The number of samples in a tar, from the file that img2dataset writes beside it, so that planning reads no tar.

In: the tars of a source. Out: for each the row count in its ``_stats.json``, or None if any tar lacks one.

The ``.parquet`` beside a tar is not used: it has a row for every url, so that its count includes failed downloads, and
there is always a ``_stats.json``, too. Planning relies on the stated count, and reading checks it.
Source: https://github.com/rom1504/img2dataset (one ``_stats.json`` a shard).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from engine.sources.places import Files, SourceFile
from engine.sources.whole_files import read_most

MAX_STATS_BYTES = 10_000_000
MAX_ROWS = 10_000_000  # in a tar; img2dataset puts ten thousand into one


@dataclass(frozen=True, slots=True)
class TarCount:
    """The number of samples in one tar, and the SHA-256 of the file that states it."""

    rows: int
    digest: str


def stated_counts(files: Files) -> list[TarCount] | None:
    """The counts of all tars in order; None where one is not stated, or two tars could have the same key.

    img2dataset begins a key with the number of its tar. So keys of tars with different names of equal length differ; a
    key that begins otherwise is noticed when it is read.
    """
    stems = [tar_stem(file.name) for file in files.all]
    if len(set(stems)) < len(stems) or len({len(stem) for stem in stems}) != 1:
        return None
    if _stated(files, files.all[0]) is None:  # most folders have none at all: one look is enough
        return None
    counts = [count for count in files.each(lambda file: _stated(files, file), files.all) if count is not None]
    return counts if len(counts) == len(files.all) else None


def tar_stem(name: str) -> str:
    """The name of a tar without folder and extension: "00012" for "part/00012.tar"."""
    return name.rpartition("/")[2].removesuffix(".tar")


def _stated(files: Files, file: SourceFile) -> TarCount | None:
    path, query, rest = file.path.partition("?")
    try:
        with files.system.open(path.removesuffix(".tar") + "_stats.json" + query + rest, "rb", block_size=0) as stats:
            content = read_most(stats, MAX_STATS_BYTES)
    except (FileNotFoundError, PermissionError):
        return None
    try:
        fields = json.loads(content)
        parts = [fields[name] for name in ("successes", "failed_to_download", "failed_to_resize")]
        whole = fields["count"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if not all(type(part) is int and 0 <= part <= MAX_ROWS for part in parts) or whole != sum(parts):
        return None
    return TarCount(parts[0], hashlib.sha256(content).hexdigest())
