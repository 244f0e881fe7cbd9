"""The teacher's worker: one outcome per request, in order; a picture's boxes are its own, whoever stands beside it."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from grounding_requests import request
from pictures import saved
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from torch.nn.modules.module import register_module_forward_pre_hook

from glip.checkpoint import load_model, save_model
from glip.vision import VisionBackbone
from schemas.recipes import TeacherRecipe
from schemas.records import BoxXYXY, Candidate, Grounding, GroundingRequest, Prompt, PromptSpan, Reject
from teacher.grounder import open_grounder, teacher_digest
from teacher.protocol import Grounder, Question
from teacher.worker import TeacherWorker


def worker_of(grounder: Any, batch_size: int = 4, **options: Any) -> TeacherWorker:
    return TeacherWorker(grounder, batch_size=batch_size, min_score=0.05, **options)


def answering(ground: Callable[[Sequence[Question], float], list[list[Candidate]]]) -> Any:
    """A grounder with one bucket and this answer, which keeps no picture."""
    return SimpleNamespace(
        full_batches=False, bucket=lambda width, height: 0, prepare=lambda image: image.size, ground=ground
    )


def mixed(web: Any) -> list[GroundingRequest]:
    sizes = [(80, 64), (64, 80), (120, 60), (80, 64), (64, 64), (30, 90), (64, 80), (200, 150), (80, 60)]
    return [request(str(number), web.jpeg(number, *size)) for number, size in enumerate(sizes)]


class Crowded:
    """A grounder on a device whose memory holds ``fits`` pictures at once."""

    def __init__(self, grounder: Grounder, fits: int) -> None:
        self._grounder, self._fits = grounder, fits
        self.sizes: list[int] = []
        self.full_batches = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grounder, name)

    def ground(self, questions: Sequence[Question], min_score: float) -> list[list[Candidate]]:
        self.sizes.append(len(questions))
        if len(questions) > self._fits:
            raise torch.OutOfMemoryError("out of memory")
        return self._grounder.ground(questions, min_score)


def test_groundings_come_in_the_order_of_the_requests_with_boxes_inside_the_picture(
    web: Any, grounder: Grounder
) -> None:
    requests = mixed(web)
    outcomes = worker_of(grounder).ground(requests)
    assert [one.source.key for one in outcomes] == [one.source.key for one in requests]
    for one in outcomes:
        assert isinstance(one, Grounding)
        assert one.candidates
        assert [(c.phrase, -c.score) for c in one.candidates] == sorted((c.phrase, -c.score) for c in one.candidates)
        for candidate in one.candidates:
            x1, y1, x2, y2 = candidate.box_xyxy
            assert 0 <= x1 <= x2 <= one.width
            assert 0 <= y1 <= y2 <= one.height
            assert candidate.score >= 0.05
            assert round(candidate.score, 4) == candidate.score


def test_answers_are_rounded_cut_at_the_picture_and_the_floor_and_come_by_phrase_then_score_then_place(
    web: Any,
) -> None:
    said = [
        Candidate(1, (5.0, 1.0, 9.0, 9.0), 0.30001),
        Candidate(1, (-3.0, -2.0, 500.0, 20.123), 0.30004),
        Candidate(1, (1.0, 1.0, 9.0, 9.0), 0.8),
        Candidate(0, (1.0, 1.0, 9.0, 400.0), 0.6),
        Candidate(0, (1.0, 1.0, 9.0, 9.0), 0.12344),  # 0.1234, which is below the floor
    ]
    grounder = answering(lambda questions, min_score: [said for _ in questions])
    worker = TeacherWorker(grounder, batch_size=4, min_score=0.12342)
    [found] = worker.ground([request("one", web.jpeg(1, 80, 60))])
    assert isinstance(found, Grounding)
    assert found.candidates == (
        Candidate(0, (1.0, 1.0, 9.0, 60.0), 0.6),
        Candidate(1, (1.0, 1.0, 9.0, 9.0), 0.8),
        Candidate(1, (0.0, 0.0, 80.0, 20.1), 0.3),
        Candidate(1, (5.0, 1.0, 9.0, 9.0), 0.3),
    )
    worker = TeacherWorker(grounder, batch_size=4, min_score=0.3)
    assert worker.ground([request("one", web.jpeg(1, 80, 60))]) == [found], "at the floor is not below it"


def test_a_grounder_that_leaves_a_question_without_an_answer_is_told_of(web: Any) -> None:
    """Its picture would count as one in which nothing is found."""
    grounder = answering(lambda questions, min_score: [[] for _ in questions[1:]])
    requests = [request(str(number), web.jpeg(number, 80, 60)) for number in range(3)]
    with pytest.raises(RuntimeError, match=r"^the grounder gave 2 lists of boxes for 3 questions$"):
        worker_of(grounder).ground(requests)


def test_a_thing_that_two_prompts_ask_for_has_one_box(web: Any) -> None:
    boxes: list[BoxXYXY] = [(1.0, 1.0, 40.0, 40.0), (1.0, 1.0, 40.0, 41.0)]
    grounder = answering(
        lambda questions, min_score: [
            [Candidate(0, boxes["and" in one.prompt.text], 0.5 + 0.1 * ("and" in one.prompt.text))] for one in questions
        ]
    )
    prompts = (Prompt("a dog", (PromptSpan(0, 0, 5),)), Prompt("a dog and", (PromptSpan(0, 0, 5),)))
    [found] = worker_of(grounder).ground([request("one", web.jpeg(1), prompts)])
    assert isinstance(found, Grounding)
    assert found.candidates == (Candidate(0, boxes[1], 0.6),)


def test_a_picture_has_the_same_boxes_alone_and_in_company(web: Any, grounder: Grounder) -> None:
    requests = mixed(web)
    together = worker_of(grounder, 8).ground(requests)
    assert together == [worker_of(grounder, 1).ground([one])[0] for one in requests]
    assert together[::-1] == worker_of(grounder, 3).ground(requests[::-1])


def test_running_out_of_memory_halves_the_batch_remembers_it_and_changes_no_box(web: Any, grounder: Grounder) -> None:
    requests = [request(str(number), web.jpeg(number)) for number in range(8)]
    crowded = Crowded(grounder, fits=2)
    worker = worker_of(crowded, 8)
    assert worker.ground(requests) == worker_of(grounder, 8).ground(requests)
    assert crowded.sizes == [8, 4, 2, 2, 2, 2]
    crowded.sizes.clear()
    worker.ground(requests)
    assert crowded.sizes == [2, 2, 2, 2]
    assert worker.largest_batch(grounder.bucket(80, 64)) == 2
    assert worker.largest_batch(grounder.bucket(64, 64)) == 8, "smaller pictures may still go through together"


def test_pictures_of_one_size_share_batches_whatever_stands_between_them(web: Any, grounder: Grounder) -> None:
    roomy = Crowded(grounder, fits=99)
    sizes = [(80, 64), (64, 64)] * 4
    worker_of(roomy, 4).ground([request(str(number), web.jpeg(number, *size)) for number, size in enumerate(sizes)])
    assert roomy.sizes == [4, 4]


def test_a_grounder_of_one_batch_size_is_given_no_other_and_halves_it_too(web: Any, grounder: Grounder) -> None:
    requests = [request(str(number), web.jpeg(number)) for number in range(11)]
    wanted = worker_of(grounder, 8).ground(requests)
    for fits, sizes in ((8, [8, 8]), (3, [8, 4, *[2] * 6])):
        fixed = Crowded(grounder, fits=fits)
        fixed.full_batches = True
        assert worker_of(fixed, 8).ground(requests) == wanted
        assert fixed.sizes == sizes


def test_one_picture_too_large_for_the_device_says_what_to_do(web: Any, grounder: Grounder) -> None:
    with pytest.raises(RuntimeError, match=r"does not fit into the memory .* lower teacher\.max_size"):
        worker_of(Crowded(grounder, fits=0)).ground([request("0", web.jpeg())])


def test_a_decoded_picture_is_let_go_once_the_grounder_has_made_of_it_what_it_wants(web: Any) -> None:
    """A unit has hundreds of them, of some ten megabytes each."""
    held: list[int] = []

    def decoded() -> int:
        return sum(type(one) is JpegImageFile and not one.tile for one in gc.get_objects())

    def ground(questions: Sequence[Question], min_score: float) -> list[list[Candidate]]:
        held.append(decoded() - before)
        return [[] for _ in questions]

    before = decoded()
    worker_of(answering(ground), decode_threads=1).ground(
        [request(str(number), web.jpeg(number)) for number in range(12)]
    )
    assert len(held) == 3
    assert held[-1] <= 1


def test_an_error_of_the_grounder_that_is_not_of_memory_is_told_as_it_is(web: Any) -> None:
    asked: list[int] = []

    def ground(questions: Sequence[Question], min_score: float) -> list[list[Candidate]]:
        asked.append(len(questions))
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match=r"^mat1 and mat2 shapes cannot be multiplied$"):
        worker_of(answering(ground)).ground([request(str(number), web.jpeg(number)) for number in range(4)])
    assert asked == [4], "less at once would not help"


def test_an_unreadable_picture_is_a_reject_and_its_neighbours_are_grounded(web: Any, grounder: Grounder) -> None:
    good = web.jpeg(1)
    bad = {
        "noise": b"\x00\x01 no picture",
        "empty": b"",
        "cut": good[: len(good) // 2],
        "header": good[:30],
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    }
    requests = [request("first", good), *(request(key, image) for key, image in bad.items()), request("last", good)]
    outcomes = worker_of(grounder).ground(requests)
    assert isinstance(outcomes[0], Grounding)
    assert isinstance(outcomes[-1], Grounding)
    assert outcomes[0].candidates == outcomes[-1].candidates
    rejects = [one for one in outcomes if isinstance(one, Reject)]
    assert [one.key for one in rejects] == list(bad)
    assert {(one.stage, one.reason) for one in rejects} == {("ground", "image_unreadable")}


def test_a_picture_of_too_many_pixels_is_never_decoded(grounder: Grounder) -> None:
    bomb = saved(Image.new("L", (6000, 5000)))  # 100 KB that would be 90 MB
    outcomes = worker_of(grounder, max_image_pixels=1_000_000).ground([request("bomb", bomb)])
    assert [one.reason for one in outcomes if isinstance(one, Reject)] == ["image_too_many_pixels"]


def test_a_strip_is_a_reject(grounder: Grounder) -> None:
    outcomes = worker_of(grounder).ground([request("strip", saved(Image.new("L", (2000, 3))))])
    assert [one.reason for one in outcomes if isinstance(one, Reject)] == ["image_too_elongated"]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_any_kind_of_picture_is_grounded(grounder: Grounder, mode: str) -> None:
    image = Image.new(mode, (70, 50))
    options = {"transparency": 0} if mode == "P" else {}
    kind = "TIFF" if mode == "CMYK" else "PNG"
    outcome = worker_of(grounder).ground([request("a", saved(image, kind, **options))])[0]
    assert isinstance(outcome, Grounding)
    assert (outcome.width, outcome.height) == (70, 50)


def test_prompts_of_one_sample_are_grounded_each_and_put_together(web: Any, grounder: Grounder) -> None:
    dog = Prompt("a brown dog", (PromptSpan(0, 0, 11),))
    cats = Prompt("two cats", (PromptSpan(1, 0, 8),))
    image = web.jpeg(5)
    both, first, second = worker_of(grounder).ground(
        [request("both", image, (dog, cats)), request("dog", image, (dog,)), request("cats", image, (cats,))]
    )
    assert isinstance(both, Grounding)
    assert isinstance(first, Grounding)
    assert isinstance(second, Grounding)
    assert both.candidates == first.candidates + second.candidates
    assert {c.phrase for c in first.candidates} == {0}
    assert {c.phrase for c in second.candidates} == {1}


def test_a_picture_goes_through_the_image_tower_once_for_all_its_prompts_in_a_batch(
    web: Any, grounder: Grounder
) -> None:
    prompts = tuple(Prompt(text, (PromptSpan(number, 0, len(text)),)) for number, text in enumerate(["a dog", "cats"]))
    seen: list[int] = []

    def count(module: torch.nn.Module, given: tuple[Any, ...]) -> None:
        if isinstance(module, VisionBackbone):
            seen.append(len(given[0]))

    with register_module_forward_pre_hook(count):
        worker_of(grounder, 4).ground([request("a", web.jpeg(1), prompts), request("b", web.jpeg(2), prompts)])
        worker_of(grounder, 4).ground([request(str(number), web.jpeg(1)) for number in range(4)])
    assert seen == [2, 4], "as many pictures, not as many prompts; equal files are pictures of their own"


def test_no_request_gives_nothing(grounder: Grounder) -> None:
    assert worker_of(grounder).ground([]) == []


def test_the_digest_is_of_the_weights_and_sizes_and_not_of_the_place(random_checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(random_checkpoint, tmp_path / "copy")
    here = TeacherRecipe(checkpoint=str(random_checkpoint))
    assert teacher_digest(here) == teacher_digest(TeacherRecipe(checkpoint=str(tmp_path / "copy")))
    for fields in ({"max_size": 90}, {"min_size": 60}):
        other = TeacherRecipe(checkpoint=str(random_checkpoint), **fields)  # type: ignore[arg-type]
        assert teacher_digest(here) != teacher_digest(other)


def test_a_folder_that_holds_another_model_by_now_is_opened_again(random_checkpoint: Path, tmp_path: Path) -> None:
    """As a process does that trains and evaluates in turns, its models in one place."""
    loaded = load_model(random_checkpoint)
    folder = save_model(tmp_path / "model", loaded.model, loaded.tokenizer, {})
    recipe = TeacherRecipe(checkpoint=str(folder), device="cpu")
    first = open_grounder(recipe)
    assert open_grounder(recipe) is first
    torch.nn.init.constant_(loaded.model.rpn.head.bias0, -2.0)
    shutil.rmtree(folder)
    save_model(folder, loaded.model, loaded.tokenizer, {})
    assert open_grounder(recipe).digest == teacher_digest(recipe) != first.digest


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"grounder": "owl"}, "no grounder 'owl'; there are: glip"),
        ({"checkpoint": "/nowhere/at/all"}, "no such model"),
    ],
)
def test_a_teacher_that_is_not_there_is_an_error_that_says_so(fields: dict[str, str], message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        open_grounder(TeacherRecipe(**fields))  # type: ignore[arg-type]
