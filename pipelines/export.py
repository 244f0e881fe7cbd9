"""A dataset in another project's format: ``glip-engine export``.

In: a dataset folder, a format of ``EXPORTERS``, and what is high-confidence. Out: a folder of that format; with
``images`` the pictures too, byte for byte but for an EXIF orientation, which becomes 1: boxes are of the stored pixels,
and most readers would turn a photo away from under them. ``export.json`` is written last, with the counts. Shards are
read one sample after another; memory keeps only a few bytes of each one's name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import Field

from engine.artifacts import Store, digest_of
from engine.dataset.manifest_summary import ManifestSummary
from engine.exporters import EXPORTERS
from engine.exporters.many_files import many_files
from engine.exporters.picture_names import PictureNames
from engine.review.selecting import REJECTED
from engine.selection import Selection, resolve_selection
from engine.shards import ShardReader, read_card, read_manifests
from engine.view import View, open_view
from pipelines.console.number_formats import counted
from pipelines.console.progress import tracked
from schemas.orientation import with_pixels_as_stored
from schemas.recipes import SelectionChoice
from schemas.reports import Document
from schemas.shards import DatasetCard, SampleBox, SampleLabels

RECEIPT = "export.json"
Sample = tuple[ShardReader, int, SampleLabels]  # where it is read, its row there, and what is written of it


class ExportReceipt(Document):
    """``export.json``: what an export holds, and what of the dataset it does not."""

    format: str
    dataset_digest: str = Field(description="of the files of the shards that were read, in order")
    selection: dict[str, object] | None = Field(description="None of a human dataset")
    images: bool = Field(description="whether the pictures were written too")
    samples: int
    boxes: int
    left_out: dict[str, int] = Field(
        description="boxes without area, which no other format allows; boxes that a reviewer rejected; samples of "
        "which no box is left, but for pictures of human detection data; samples that are duplicates"
    )


def export(
    dataset: str | Path,
    out: str | Path,
    *,
    format: str,
    selection: SelectionChoice | None = None,
    images: bool = False,
    progress: bool = True,
) -> ExportReceipt:
    """Write ``dataset`` in ``format`` into the folder ``out``, which is empty or not there yet.

    Of a pseudo-labelled dataset the boxes are selected (by its card's selection where none is given), samples without a
    box are left out, and so are duplicates where ``dedupe`` found some. Human boxes are never selected; a picture
    without any is a sample of a detection dataset, but a caption without any is left out. ValueError for an unknown
    format, a folder that is not empty, or a dataset with no shard.
    """
    if format not in EXPORTERS:
        raise ValueError(f"no export format {format!r}; there are: {', '.join(EXPORTERS)}")
    source, target = Store(dataset), Store(out)
    card = read_card(source)
    rules = _rules(source, card, selection)
    manifests = read_manifests(source)
    if not manifests:
        raise ValueError(f"{source.root} has no committed shard; run `label` or `import` again")
    counts: Counter[str] = Counter()
    samples = _samples(source, card, manifests, open_view(source, manifests, rules), counts, progress)
    with target.locked():
        if target.names(""):
            raise ValueError(
                f"{target.root} is not empty; an export needs an empty folder, and an interrupted one starts "
                "over: give another folder, or delete this one"
            )
        _write(target, card, samples, format, images)
        receipt = ExportReceipt(
            format=format,
            dataset_digest=digest_of([file.sha256 for one in manifests for file in one.files]),
            selection=None if rules is None else rules.identity(),
            images=images,
            samples=counts.pop("samples", 0),
            boxes=counts.pop("boxes", 0),
            left_out=dict(sorted(counts.items())),
        )
        target.write_document(RECEIPT, receipt)
    if progress:
        print(f"{target.root}: {summary(receipt)}")
    return receipt


def _rules(source: Store, card: DatasetCard, selection: SelectionChoice | None) -> Selection | None:
    if card.origin == "pseudo":
        return resolve_selection(selection or card.selection)
    if selection is not None:
        raise ValueError(f"{source.root} is human data, whose boxes are never selected; leave --selection out")
    return None


def _samples(
    source: Store,
    card: DatasetCard,
    manifests: Sequence[ManifestSummary],
    view: View,
    counts: Counter[str],
    progress: bool,
) -> Iterator[Sample]:
    """The samples to be written, one after another; counts them and what is left out."""
    empty = card.task == "detection" and view.selection is None  # whether a sample may be without a box
    for manifest in tracked(manifests, "exporting", shown=progress):
        left_out = view.duplicates.of(manifest.unit)
        with ShardReader(source, manifest.unit) as reader:
            for row in range(len(reader)):
                if row in left_out:
                    counts["duplicate"] += 1
                elif (labels := _kept(reader.labels(row), view, counts, empty)) is not None:
                    counts.update(samples=1, boxes=len(labels.boxes))
                    yield reader, row, labels


def _kept(labels: SampleLabels, view: View, counts: Counter[str], empty: bool) -> SampleLabels | None:
    """The labels with the boxes that are written, None where the sample is left out."""
    labels, dropped = view.seen(labels)
    counts["box_rejected_by_reviewer"] += dropped.get(REJECTED, 0)
    boxes = [box for box in labels.boxes if _has_area(box)]
    counts["box_without_area"] += len(labels.boxes) - len(boxes)
    if not boxes and not empty:
        counts["sample_without_box"] += 1
        return None
    return labels.model_copy(update={"boxes": boxes})


def summary(receipt: ExportReceipt) -> str:
    """What was written, and what was left out, so that a small number is no riddle."""
    left_out = [f"{what.replace('_', ' ')} ({count:,})" for what, count in receipt.left_out.items() if count]
    boxes = counted(receipt.boxes, "box", "boxes")
    parts = [f"{counted(receipt.samples, 'sample')}, {boxes} in the format {receipt.format}"]
    if left_out:
        parts.append(f"left out: {', '.join(left_out)}")
    if not receipt.samples and receipt.selection is not None and receipt.left_out.get("sample_without_box"):
        parts.append("no box passes the selection: give another with --selection")
    return "; ".join(parts)


def _has_area(box: SampleBox) -> bool:
    x1, y1, x2, y2 = box.box_xyxy
    return x2 > x1 and y2 > y1


def _write(target: Store, card: DatasetCard, samples: Iterator[Sample], format: str, images: bool) -> None:
    exporter, names = EXPORTERS[format], PictureNames()
    with exporter.open(target, card) as add, many_files(target) as write:
        for reader, row, labels in samples:
            name = names.of(labels.key, reader.extension(row))
            image = with_pixels_as_stored(reader[row].image) if images else None
            if exporter.image_folder is None:
                add(labels, name, image)
            else:
                add(labels, name)
                if image is not None:
                    write(f"{exporter.image_folder}/{name}", image)
