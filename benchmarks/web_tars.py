"""Makes tars in img2dataset's layout: of existing samples, repeated; or empty ones with any stated number of rows.

In: samples, or a number of rows. Out: a folder that the source `webdataset` reads.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from engine.sources import open_source
from schemas.recipes import Source, WebDatasetSource
from schemas.records import CaptionedImage

SAMPLES_A_TAR = 1_000
ROWS_A_TAR = 10_000


def samples_of(recipe: Source) -> list[CaptionedImage]:
    """All readable samples of a source, in order."""
    source = open_source(recipe)
    return [one for ref in source.units(1000) for one in source.read(ref) if isinstance(one, CaptionedImage)]


def write_tar(file: Path, samples: Iterable[CaptionedImage]) -> None:
    """Write a tar of pictures, each with its caption."""
    with tarfile.open(file, "w") as tar:
        for sample in samples:
            for extension, content in ((sample.extension, sample.image), ("txt", sample.caption.encode())):
                member = tarfile.TarInfo(f"{sample.key}.{extension}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def repeat_source(uri: str, folder: Path, images: int, a_tar: int = SAMPLES_A_TAR) -> Path:
    """Repeat the source's samples under new keys until there are ``images``; returns the folder of the tars."""
    samples = samples_of(WebDatasetSource(uri=uri))
    folder.mkdir(parents=True)
    for tar, first in enumerate(range(0, images, a_tar)):
        numbers = range(first, min(first + a_tar, images))
        repeated = (replace(samples[number % len(samples)], key=f"{number:09d}") for number in numbers)
        write_tar(folder / f"{tar:05d}.tar", repeated)
    return folder


def counted_tars(folder: Path, rows: int) -> WebDatasetSource:
    """Empty tars with `_stats.json` beside them that state ``rows`` rows in all, so that planning opens none."""
    for tar, first in enumerate(range(0, rows, ROWS_A_TAR)):
        count = min(ROWS_A_TAR, rows - first)
        stats = {"count": count, "successes": count, "failed_to_download": 0, "failed_to_resize": 0}
        (folder / f"{tar:05d}.tar").write_bytes(b"\0" * 10240)
        (folder / f"{tar:05d}_stats.json").write_text(json.dumps(stats))
    return WebDatasetSource(uri=str(folder))
