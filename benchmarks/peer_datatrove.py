"""The labelling job with datatrove: a reader of tars, a step that labels, its Parquet writer, a task for each tar.

    python benchmarks/peer_datatrove.py ../shared/data/photos/web --out DIR

As datatrove's examples have it: `LocalPipelineExecutor`, whose second run leaves out the tasks that a run before has
completed. Its workers live as long as the pool, so models are kept from task to task. Needs `datatrove` (0.10), which
is no dependency of this project.
"""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from typing import Any

from peer_job import Labeller, Row, peer_options, tar_samples

labeller = lru_cache(Labeller)


def read_tar(step: Any, file: str) -> Iterator[Any]:
    """The documents of a tar: caption as text, picture as medium."""
    for key, image, caption in tar_samples(step.data_folder.resolve_paths(file)):
        media = [{"id": key, "type": 0, "url": file, "media_bytes": image}]
        document = step.get_document_from_dict({"text": caption, "id": key, "media": media}, file, key)
        if document is not None:
            yield document


def label(documents: Iterable[Any], rank: int, world_size: int, *, settings: tuple[int, int | None]) -> Iterator[Any]:
    """A step that labels the documents of a task."""
    held = list(documents)
    keys, images, captions = zip(*((one.id, one.media[0].media_bytes, one.text) for one in held), strict=True)
    for document, row in zip(held, labeller(*settings)(keys, images, captions), strict=True):
        document.metadata = row
        yield document


def as_row(step: Any, document: Any) -> Row:
    """The row to write for a document."""
    return dict(document.metadata)


def main() -> int:
    options = peer_options(__doc__).parse_args()
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.readers.base import BaseDiskReader
    from datatrove.pipeline.writers import ParquetWriter

    reader = type("TarReader", (BaseDiskReader,), {"name": "tars", "read_file": read_tar})
    LocalPipelineExecutor(
        [
            reader(str(options.source), glob_pattern="*.tar"),
            partial(label, settings=(options.batch_size, options.size)),
            ParquetWriter(str(options.out), adapter=as_row),
        ],
        tasks=len(list(options.source.glob("*.tar"))),
        workers=options.workers,
        logging_dir=f"{options.out}.log",
    ).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
