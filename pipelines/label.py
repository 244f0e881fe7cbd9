"""The labelling job: captioned images in, a dataset of phrase-box pseudo-labels out.

    read > phrases > prompt > ground > select > write

``stages`` is the job; the rest of this file opens each stage in its worker process and keeps the books: which units are
done already, what may be gone on with, what came out. One unit of the source is one shard, and its manifest the commit:
retry, resume and rerun are the same thing.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from engine.artifacts import Store
from engine.committed import committed_manifests
from engine.image_hash import phash_text
from engine.leaks import LeakGuard, read_leak_guard
from engine.prompts import request_grounding
from engine.runner import Backend, Workers, run
from engine.selection import check_teacher, keep_above_floor, resolve_selection
from engine.shards import LabelledImage, write_shard
from engine.sources import Source, open_source
from engine.stages import Commit, Stage, Work
from engine.stopping import Stopping
from engine.uncommit import delete_units_beyond, uncommit
from pipelines.bookkeeping import Digests, LabelResult, finish_dataset, open_dataset, pin_teacher, recipe_digest
from pipelines.checkpoints import local_teacher
from pipelines.job_log import JobLog
from pipelines.progress import LabelProgress, print_result
from pipelines.stop_signals import stopped_by_sigterm
from pipelines.totals import Totals
from schemas.recipes import FiltersRecipe, GroundRecipe, LabelRecipe, PhrasesRecipe, TeacherRecipe
from schemas.records import (
    CaptionedImage,
    Grounding,
    GroundingRequest,
    ParsedCaption,
    PseudoLabel,
    Reject,
    Unit,
    UnitRef,
)
from schemas.reports import StageCounts
from schemas.shards import SampleBox, SampleLabels, SamplePhrase, ShardManifest
from teacher.grounder import open_grounder, teacher_digest


def stages(recipe: LabelRecipe, source: Source, guard: LeakGuard | None = None) -> list[Stage]:
    """The job, top to bottom: what each stage gives, and which processes do it. Filters are there where they are on;
    ``guard`` is that of the recipe's ``leaks``."""
    read = Stage("read", partial(_open_source_reader, source), CaptionedImage)
    phrases, *answering = grounding_stages(recipe)
    on_samples, on_phrases = filter_stages(recipe.filters, guard)
    return [read, *on_samples, phrases, *on_phrases, *answering]


def filter_stages(recipe: FiltersRecipe, guard: LeakGuard | None) -> tuple[list[Stage], list[Stage]]:
    """What filters captioned pictures, and what filters their phrases; none where nothing is to be filtered."""
    on_samples = Stage("filter", partial(_open_filter, recipe, guard), CaptionedImage)
    on_phrases = Stage("filter_phrases", partial(_open_phrase_filter, recipe), ParsedCaption)
    wanted = guard is not None or recipe.rules().keys() - {"stop_phrases"}
    return ([on_samples] if wanted else [], [on_phrases] if recipe.stop_phrases else [])


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
    relabel: bool = False,
    budget_hours: float | None = None,
    log: str | Path | None = None,
    progress: bool = True,
) -> LabelResult:
    """Label the recipe's source into the dataset ``out``; what is done there already is not done again.

    ``relabel`` allows that ``out`` holds work of another recipe or teacher, or of a source that has changed since: the
    units that this changes are done again, one by one, and what comes out is what a new folder would hold.

    ``workers`` is the number of teachers, one for each GPU or CPU slot where None. ValueError in one line where the
    source, the checkpoint or the recipe is wrong, or ``out`` holds other work; RuntimeError where a worker fails.
    Interrupted at any moment, the same call goes on and ends in the same shards.

    ``budget_hours`` after the call, or at SIGTERM, no further unit is begun, and those in flight are finished: what is
    there is a whole dataset with ``units_left`` to do. ``log`` is a file for JSON lines (:mod:`pipelines.job_log`).
    """
    started = time.monotonic()
    stopping = Stopping(None if budget_hours is None else 3600 * budget_hours)
    check_recipe(recipe)
    source, store = open_source(recipe.source), Store(out)
    recipe = pin_teacher(recipe, store, anew=relabel)
    refs = source.units(recipe.unit_size)
    parts = {uri: source.part_digest(uri) for uri in {ref.uri for ref in refs}}
    guard = read_leak_guard(recipe.leaks, recipe.max_leak_distance)
    digests = Digests(
        source.fingerprint(),
        recipe_digest(recipe, guard),
        teacher_digest(local_teacher(recipe.teacher)),
        parts,
        None if guard is None else guard.digest(),
    )
    check_teacher(recipe.selection, digests.teacher)
    with store.locked(), stopped_by_sigterm(stopping):
        card = open_dataset(store, recipe, digests, units=len(refs), relabel=relabel)
        if not card.complete:
            delete_units_beyond(store, len(refs))  # of what was relabelled, if its units were more
        done, todo = _what_is_done(store, refs, digests)
        if todo:
            uncommit(store, [ref.index for ref in todo])  # what is left of other work, or damaged
        new = Totals()
        slots = Workers(workers, recipe.teacher.threads, wants_gpu=recipe.teacher.device != "cpu")
        open_writer = partial(open_commit, store, digests)
        with (
            JobLog(log, dataset=store.root, units=len(refs), units_done=done.units, **_named(digests)) as job_log,
            LabelProgress(sum(ref.rows for ref in refs), done, shown=progress) as bar,
            closing(
                run(
                    todo,
                    stages(recipe, source, guard),
                    open_writer,
                    backend=backend,
                    workers=slots,
                    stopping=stopping,
                    lost=job_log.lost,
                )
            ) as manifests,
        ):
            for manifest in manifests:
                new.add(manifest)
                bar.show(new)
                job_log.committed(manifest)
            result = finish_dataset(store, card, done, new, seconds=time.monotonic() - started, stopped=stopping.reason)
            job_log.end(result)
    if progress:
        print_result(result)
    return result


def _named(digests: Digests) -> dict[str, str]:
    """For the log: which work it tells of."""
    return {"source": digests.source, "recipe": digests.recipe, "teacher": digests.teacher}


def _what_is_done(store: Store, refs: Sequence[UnitRef], digests: Digests) -> tuple[Totals, list[UnitRef]]:
    """The sums over the units that are done, and the units that are not."""
    done, todo = Totals(), []
    for ref, manifest in zip(refs, committed_manifests(store, refs, digests.work), strict=True):
        if manifest is None:
            todo.append(ref)
        else:
            done.add(manifest)
    return done, todo


def check_recipe(recipe: LabelRecipe) -> None:
    """Stop before any work where a name in the recipe leads nowhere; ValueError says which."""
    resolve_selection(recipe.selection)
    _open_filter(recipe.filters, None)
    if recipe.phrases.pipeline != "bundled":
        _open_parser(recipe.phrases)


# ------------------------------------------------------------------------ the stages, opened once in each process
# spaCy and torch are imported where they are opened: every worker imports this file, and needs one of them at most.


def _open_source_reader(source: Source) -> Work:
    return lambda unit: source.read(unit.ref)


def _open_filter(recipe: FiltersRecipe, guard: LeakGuard | None) -> Work:
    from engine.filters import SampleFilter

    return SampleFilter(recipe, guard)


def _open_phrase_filter(recipe: FiltersRecipe) -> Work:
    from engine.filters import PhraseStopList

    return PhraseStopList(recipe.stop_phrases)


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
    grounder = open_grounder(local_teacher(recipe))
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
        open_grounder(local_teacher(recipe.teacher)),
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
            worker=f"{socket.gethostname()}:{os.getpid()}",
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
        image_phash=phash_text(label.source.image),
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
