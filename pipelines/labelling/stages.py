"""The stages of the labelling job, top to bottom, and how each is opened in its worker process.

    read > filter > phrases > filter_phrases > identify > prompt > ground > select

In: a recipe. Out: stages for :func:`engine.runner.run`. spaCy and torch are imported where they are opened,
because every worker imports this file and needs at most one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from engine.filtering.image_identity import identified
from engine.filtering.leaks import LeakGuard
from engine.prompts import request_grounding
from engine.running.stages import Stage, Work
from engine.selection import check_agreement, keep_above_floor
from engine.sources import Source
from pipelines.models.checkpoints import local_teacher
from schemas.recipes import FiltersRecipe, GroundRecipe, LabelRecipe, PhrasesRecipe, TeacherRecipe
from schemas.records import CaptionedImage, ParsedCaption, Reject, Unit
from teacher.grounder import open_grounder


def stages(recipe: LabelRecipe, source: Source, guard: LeakGuard | None = None) -> list[Stage]:
    """The stages of the job, top to bottom, each with the processes it runs in. A filter's stage is there only if the
    recipe uses it; ``guard`` is that of the recipe's ``leaks``."""
    read = Stage("read", partial(_open_source_reader, source))
    phrases, *answering = grounding_stages(recipe)
    on_samples, on_phrases = filter_stages(recipe.filters, guard)
    identify = Stage("identify", _open_identifier)
    return [read, *on_samples, phrases, *on_phrases, identify, *answering]


def filter_stages(recipe: FiltersRecipe, guard: LeakGuard | None) -> tuple[list[Stage], list[Stage]]:
    """The stages that filter captioned pictures, and those that filter phrases; empty where nothing is to be
    filtered."""
    on_samples = Stage("filter", partial(_open_filter, recipe, guard))
    on_phrases = Stage("filter_phrases", partial(_open_phrase_filter, recipe))
    wanted = guard is not None or recipe.rules().keys() - {"stop_phrases"}
    return ([on_samples] if wanted else [], [on_phrases] if recipe.stop_phrases else [])


def grounding_stages(recipe: GroundRecipe) -> list[Stage]:
    """The stages from captioned pictures to boxes: the job without its source, filters and shards."""
    return [
        Stage("phrases", partial(_open_parser, recipe.phrases)),
        Stage("prompt", partial(_open_prompter, recipe.teacher), "teacher"),
        Stage("ground", partial(_open_teacher, recipe), "teacher"),
        Stage("select", partial(_open_floor, recipe), "teacher"),
    ]


def check_recipe(recipe: LabelRecipe) -> None:
    """Stop before any work where a name in the recipe leads nowhere; ValueError says which. TypeError where it is none,
    such as the source alone."""
    if not isinstance(recipe, LabelRecipe):
        raise TypeError(f"wanted LabelRecipe(source=FolderSource(uri='photos')) or the like, not {recipe!r:.100}")
    check_agreement(recipe.selection, recipe.teacher)
    _open_filter(recipe.filters, None)
    if recipe.phrases.pipeline != "bundled":
        _open_parser(recipe.phrases)


# ------------------------------------------------------------------------ the stages, opened once in each process


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


def _open_identifier() -> Work:
    """Hashes the pictures that go to the teacher, so that duplicates and leaks can be found later."""
    return lambda unit: [replace(sample, source=identified(sample.source)) for sample in unit.records]


def _open_prompter(recipe: TeacherRecipe) -> Work:
    grounder = open_grounder(local_teacher(recipe))
    return lambda unit: [request_grounding(sample, grounder) for sample in unit.records]


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
