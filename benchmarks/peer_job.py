"""The common parts of labelling jobs written with other tools: reading tars, this project's labels, rows to write.

In: samples of a tar as img2dataset writes it. Out: a row for each, labelled by the same parser, teacher and rules as in
`glip-engine label`: picture, caption, phrases and boxes, or the reason why there are none. The tool does all the rest:
processes, scheduling, writing, and deciding what a second run does again.
"""

from __future__ import annotations

import argparse
import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from engine.running.stages import OpenedStages
from pipelines.labelling.stages import grounding_stages
from schemas.recipes import GroundRecipe, TeacherRecipe
from schemas.records import Candidate, CaptionedImage, Phrase, Unit, UnitRef

Row = dict[str, Any]


class Labeller:
    """An open parser and teacher; one for each worker process."""

    def __init__(self, batch_size: int, size: int | None = None) -> None:
        teacher = TeacherRecipe(device="cpu", batch_size=batch_size, min_size=size, max_size=size)
        self._work = OpenedStages(grounding_stages(GroundRecipe(teacher=teacher)))

    def __call__(self, keys: Sequence[str], images: Sequence[bytes], captions: Sequence[str]) -> list[Row]:
        """A row for each sample, in order. Keys are of one tar, and unique."""
        samples = tuple(
            CaptionedImage(key, image, "jpg", caption, key)
            for key, image, caption in zip(keys, images, captions, strict=True)
        )
        unit = self._work(Unit(UnitRef(0, "", 0, len(samples)), samples))
        labels = {one.source.key: labels_text(one.phrases, one.candidates) for one in unit.records}
        errors = {one.key: one.reason for one in unit.rejects}
        return [
            {
                "key": one.key,
                "image": one.image,
                "caption": one.caption,
                "labels": labels.get(one.key, ""),
                "error": errors.get(one.key, ""),
            }
            for one in samples
        ]


def labels_text(phrases: Sequence[Phrase], boxes: Sequence[Candidate]) -> str:
    """Labels as JSON, in their order, so that equal labels are equal texts."""
    return json.dumps(
        [
            [[one.text, one.start, one.end, one.head_lemma] for one in phrases],
            [[one.phrase, *one.box_xyxy, one.score] for one in boxes],
        ]
    )


def tar_samples(file: Path | str) -> Iterator[tuple[str, bytes, str]]:
    """Key, picture and caption of each sample that has both, in order; raises where the tar is cut short."""
    parts: dict[str, bytes] = {}
    key = ""
    with tarfile.open(file, "r|") as tar:
        for member in tar:
            name, _, extension = member.name.partition(".")
            if name != key:
                key, parts = name, {}
            content = tar.extractfile(member)
            assert content is not None
            parts[extension] = content.read()
            if extension in ("jpg", "txt") and {"jpg", "txt"} <= parts.keys():
                yield key, parts["jpg"], parts["txt"].decode(errors="replace")


def peer_options(description: str | None) -> argparse.ArgumentParser:
    """The options of every such job."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of tars as img2dataset writes them")
    parser.add_argument("--out", type=Path, required=True, help="folder for Parquet files")
    parser.add_argument("--workers", type=int, default=2, help="processes with a teacher, each of one thread")
    parser.add_argument("--batch-size", type=int, default=8, help="images of the teacher")
    parser.add_argument("--size", type=int, help="side in pixels that images are resized to; by default the model's")
    return parser
