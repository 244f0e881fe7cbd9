"""The part of a manifest that is kept in memory when all manifests of a dataset are, of which there may be 100,000.

In: a valid :class:`~schemas.shards.ShardManifest`. Out: its counts, its slice of the source and its files; stages,
times and the digest of its work are left out. `benchmarks/resume.py` measures the memory.
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
    """A manifest without stages, times and digest; fields mean what they mean in
    :class:`~schemas.shards.ShardManifest`."""

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
        """The summary of one manifest. Units of one source file share its name in memory."""
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
