"""The labelling job: captioned images in, a dataset of phrase-box pseudo-labels out.

    read > phrases > prompt > ground > select > write

``stages`` is the job; the rest of this file opens each stage in its worker process and keeps the books: which units are
done already, what may be gone on with, what came out. One unit of the source is one shard, and its manifest the commit:
retry, resume and rerun are the same thing.
"""

from __future__ import annotations

import hashlib
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from engine.artifacts import Store
from engine.prompts import request_grounding
from engine.runner import Backend, Workers, run
from engine.selection import keep_above_floor, resolve_selection
from engine.shards import LabelledImage, read_committed, write_shard
from engine.sources import Source, open_source
from engine.stages import Commit, Stage, Work
from pipelines.bookkeeping import Digests, LabelResult, finish_dataset, open_dataset, recipe_digest
from pipelines.progress import LabelProgress, print_result
from schemas.recipes import GroundRecipe, LabelRecipe, PhrasesRecipe, TeacherRecipe
from schemas.records import (
    CaptionedImage,
    Grounding,
    GroundingRequest,
    ParsedCaption,
    PseudoLabel,
    Reject,
    Unit,
)
from schemas.reports import StageCounts
from schemas.shards import SampleBox, SampleLabels, SamplePhrase, ShardManifest
from teacher.grounder import open_grounder, teacher_digest


def stages(recipe: LabelRecipe, source: Source) -> list[Stage]:
    """The job, top to bottom: what each stage gives, and which processes do it."""
    return [Stage("read", partial(_open_source_reader, source), CaptionedImage), *grounding_stages(recipe)]


def grounding_stages(recipe: GroundRecipe) -> list[Stage]:
    """From captioned pictures to boxes: all of the job that is neither its source nor its shards."""
    return [
        Stage("phrases", partial(_open_parser, recipe.phrases), ParsedCaption),
        Stage("prompt", partial(_open_prompter, recipe.teacher), GroundingRequest, "teacher"),
        Stage("ground", partial(_open_teacher, recipe), Grounding, "teacher"),
        Stage("select", partial(_open_floor, recipe), PseudoLabel, "teacher"),
    ]


def label(
    recipe: LabelRecipe,
    out: str | Path,
    *,
    workers: int | None = None,
    backend: Backend = "ray",
    progress: bool = True,
) -> LabelResult:
    """Label the recipe's source into the dataset ``out``; what is done there already is not done again.

    ``workers`` is the number of teachers, one for each GPU or CPU slot where None. ValueError in one line where the
    source, the checkpoint or the recipe is wrong, or ``out`` holds other work; RuntimeError where a worker fails.
    Interrupted at any moment, the same call goes on and ends in the same shards.
    """
    started = time.monotonic()
    check_recipe(recipe)
    source, store = open_source(recipe.source), Store(out)
    refs = source.units(recipe.unit_size)
    digests = Digests(source.fingerprint(), recipe_digest(recipe), teacher_digest(recipe.teacher))
    with store.locked(), _stopping_cleanly():
        card = open_dataset(store, recipe, digests)
        committed = [read_committed(store, ref, digests.work(ref)) for ref in refs]
        done = [manifest for manifest in committed if manifest is not None]
        todo = [ref for ref, manifest in zip(refs, committed, strict=True) if manifest is None]
        slots = Workers(workers, recipe.teacher.threads, wants_gpu=recipe.teacher.device != "cpu")
        new = []
        with (
            LabelProgress(sum(ref.rows for ref in refs), done, shown=progress) as bar,
            closing(
                run(todo, stages(recipe, source), partial(open_commit, store, digests), backend=backend, workers=slots)
            ) as manifests,
        ):
            for manifest in manifests:
                bar.advance(manifest)
                new.append(manifest)
        result = finish_dataset(store, card, done, new, seconds=time.monotonic() - started)
    if progress:
        print_result(result)
    return result


def check_recipe(recipe: LabelRecipe) -> None:
    """Stop before any work where a name in the recipe leads nowhere; ValueError says which."""
    resolve_selection(recipe.selection)
    if recipe.phrases.pipeline != "bundled":
        _open_parser(recipe.phrases)


# ------------------------------------------------------------------------ the stages, opened once in each process
# spaCy and torch are imported where they are opened: every worker imports this file, and needs one of them at most.


def _open_source_reader(source: Source) -> Work:
    return lambda unit: source.read(unit.ref)


def _open_parser(recipe: PhrasesRecipe) -> Work:
    from engine.phrases import PhraseParser

    parser = PhraseParser(recipe)

    def parse(unit: Unit[CaptionedImage]) -> Sequence[ParsedCaption | Reject]:
        found = parser.parse([image.caption for image in unit.records])
        return [
            ParsedCaption(image, phrases) if phrases else parser.reject(image.key, image.caption)
            for image, phrases in zip(unit.records, found, strict=True)
        ]

    return parse


def _open_prompter(recipe: TeacherRecipe) -> Work:
    grounder = open_grounder(recipe)
    ask = partial(
        request_grounding,
        max_tokens=grounder.max_tokens,
        count_tokens=grounder.count_tokens,
        phrase_fits=grounder.phrase_fits,
    )
    return lambda unit: [ask(sample) for sample in unit.records]


def _open_teacher(recipe: GroundRecipe) -> Work:
    from teacher.worker import TeacherWorker

    return TeacherWorker(
        open_grounder(recipe.teacher),
        batch_size=recipe.teacher.batch_size,
        min_score=recipe.min_score,
        max_image_pixels=recipe.max_image_pixels,
    )


def _open_floor(recipe: GroundRecipe) -> Work:
    keep = partial(keep_above_floor, min_score=recipe.min_score, max_boxes_per_phrase=recipe.max_boxes_per_phrase)
    return lambda unit: [keep(grounding) for grounding in unit.records]


def open_commit(store: Store, digests: Digests) -> Commit:
    """What writes the shard of a unit: pictures and labels, tables, and the manifest last."""

    def commit(unit: Unit[PseudoLabel]) -> ShardManifest:
        return write_shard(
            store,
            unit.ref,
            [labelled_image(label, digests) for label in unit.records],
            unit.rejects,
            work_digest=digests.work(unit.ref),
            stages=stage_counts(unit),
            seconds=sum(tally.seconds for tally in unit.tallies),
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    return commit


def labelled_image(label: PseudoLabel, digests: Digests) -> LabelledImage:
    """A pseudo-label as a sample of a shard."""
    labels = SampleLabels(
        key=label.source.key,
        caption=label.source.caption,
        phrases=[SamplePhrase(text=p.text, start=p.start, end=p.end, head_lemma=p.head_lemma) for p in label.phrases],
        boxes=[
            SampleBox(phrase=c.phrase, box_xyxy=c.box_xyxy, score=c.score, agreement=c.agreement)
            for c in label.candidates
        ],
        width=label.width,
        height=label.height,
        image_sha256=hashlib.sha256(label.source.image).hexdigest(),
        locator=label.source.locator,
        teacher_digest=digests.teacher,
        recipe_digest=digests.recipe,
    )
    return LabelledImage(labels, label.source.image, label.source.extension)


def stage_counts(unit: Unit[Any]) -> list[StageCounts]:
    """The unit's tallies with the reasons of what was dropped."""
    reasons = Counter((reject.stage, reject.reason) for reject in unit.rejects)
    return [
        StageCounts(
            stage=tally.stage,
            came_in=tally.came_in,
            went_on=tally.went_on,
            dropped={reason: count for (stage, reason), count in sorted(reasons.items()) if stage == tally.stage},
            phrases_left_out=tally.phrases_left_out,
            seconds=round(tally.seconds, 3),
            computing_seconds=round(tally.computing_seconds, 3),
            elapsed_seconds=round(tally.elapsed_seconds, 3),
        )
        for tally in unit.tallies
    ]


@contextmanager
def _stopping_cleanly() -> Iterator[None]:
    """SIGTERM, as a scheduler sends it, ends the job as Ctrl-C does: what it started is shut down."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
