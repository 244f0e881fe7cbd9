"""What is held in memory of a manifest where those of a whole dataset are, which may have 100,000 units.

In: a :class:`~schemas.shards.ShardManifest` that was read and is valid. Out: its counts, its slice of the source and
its files, without stages, times and digest of work, in a small part of the memory: `benchmarks/resume.py` measures it.
"""

from __future__ import annotations

from dataclasses import dataclass
from sys import intern

from schemas.shards import ShardManifest


@dataclass(frozen=True, slots=True)
class CommittedFile:
    """A file of a unit, as :class:`~schemas.shards.FileDigest`."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class ManifestSummary:
    """Fields mean what they mean in :class:`~schemas.shards.ShardManifest`."""

    unit: int
    source_uri: str
    first_row: int
    rows: int
    samples: int
    phrases: int
    boxes: int
    rejects: int
    files: tuple[CommittedFile, ...]

    @classmethod
    def of(cls, manifest: ShardManifest) -> ManifestSummary:
        """Of one manifest; units of one file of a source share its name."""
        return cls(
            unit=manifest.unit,
            source_uri=intern(manifest.source_uri),
            first_row=manifest.first_row,
            rows=manifest.rows,
            samples=manifest.samples,
            phrases=manifest.phrases,
            boxes=manifest.boxes,
            rejects=manifest.rejects,
            files=tuple(CommittedFile(file.path, file.sha256, file.size) for file in manifest.files),
        )
