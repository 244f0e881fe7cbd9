"""OWLv2: a phrase a query, a square of padding, and the answers of transformers."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures import decoded

from engine.prompts import request_grounding
from schemas.recipes import TeacherRecipe
from schemas.records import CaptionedImage, Grounding, GroundingRequest, ParsedCaption, Phrase, Prompt, PromptSpan
from teacher.grounder import open_grounder
from teacher.owlv2_image import SquareRules
from teacher.protocol import Grounder, Question
from teacher.worker import TeacherWorker

CAPTION = "a dog and two cats"
PROMPT = Prompt(CAPTION, (PromptSpan(0, 0, 5), PromptSpan(1, 10, 18)))


@pytest.fixture
def grounder(hub_folders: dict[str, Path]) -> Grounder:
    return open_grounder(TeacherRecipe(grounder="owlv2", checkpoint=str(hub_folders["owlv2"]), device="cpu"))


def by_transformers(folder: Path, pixels: torch.Tensor, size: tuple[int, int], texts: list[str]) -> dict[str, Any]:
    """What transformers' model and post-processing give for the texts on a prepared picture of (width, height)."""
    import transformers
    from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil

    model = transformers.Owlv2ForObjectDetection.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    text = tokenizer(texts, padding="max_length", max_length=16, return_tensors="pt")
    with torch.inference_mode():
        output = model(pixel_values=pixels[None], **text)
    images = Owlv2ImageProcessorPil.from_pretrained(folder)
    found: dict[str, Any] = images.post_process_object_detection(output, threshold=0.05, target_sizes=[size[::-1]])[0]
    return found


@pytest.mark.parametrize("size", [(90, 64), (64, 90)])
def test_scores_and_boxes_of_a_phrase_are_those_of_transformers(
    web: Any, grounder: Grounder, hub_folders: dict[str, Path], size: tuple[int, int]
) -> None:
    image = decoded(web.jpeg(1, *size))
    pixels = grounder.prepare(image)
    found = grounder.ground([Question(pixels, PROMPT, *image.size)], 0.05)[0]
    for phrase, text in enumerate(["a dog", "two cats"]):
        wanted = by_transformers(hub_folders["owlv2"], pixels, image.size, [text])
        in_picture = (wanted["boxes"][:, 0] < image.width) & (wanted["boxes"][:, 1] < image.height)
        scores, boxes = wanted["scores"][in_picture], wanted["boxes"][in_picture]
        ours = [one for one in found if one.phrase == phrase]
        order = scores.argsort(descending=True)
        assert [one.score for one in ours] == pytest.approx(scores[order].tolist(), abs=1e-5)
        torch.testing.assert_close(torch.tensor([one.box_xyxy for one in ours]), boxes[order], atol=1e-3, rtol=0)
    assert len(found) > 5


def test_the_best_phrase_of_a_box_is_the_one_transformers_gives_it(
    web: Any, grounder: Grounder, hub_folders: dict[str, Path]
) -> None:
    image = decoded(web.jpeg(1, 64, 64))
    pixels = grounder.prepare(image)
    found = grounder.ground([Question(pixels, PROMPT, 64, 64)], 0.05)[0]
    wanted = by_transformers(hub_folders["owlv2"], pixels, image.size, ["a dog", "two cats"])
    best: dict[tuple[float, ...], tuple[float, int]] = {}
    for one in found:
        place = tuple(round(x, 2) for x in one.box_xyxy)
        best[place] = max(best.get(place, (0.0, 0)), (one.score, one.phrase))
    theirs = sorted((round(s, 4), p) for s, p in zip(wanted["scores"].tolist(), wanted["labels"].tolist(), strict=True))
    assert sorted((round(score, 4), phrase) for score, phrase in best.values()) == theirs


def naive_resize(image: np.ndarray, side: int) -> np.ndarray:
    """The definition, written as sums over pixels: Gaussian with mirrored border, then linear interpolation."""
    length = max(image.shape[:2])
    square = np.zeros((length, length, 3))
    square[: image.shape[0], : image.shape[1]] = image
    factor, matrix = length / side, np.zeros((side, length))
    sigma = max(0.0, (factor - 1) / 2)
    radius = int(4 * sigma + 0.5)
    weights = {d: math.exp(-0.5 * (d / sigma) ** 2) if sigma else 1.0 for d in range(-radius, radius + 1)}

    def mirrored(place: float) -> float:
        place = abs(place)
        return place if place <= length - 1 else 2 * (length - 1) - place

    for row in range(side):
        centre = mirrored((row + 0.5) * factor - 0.5)
        for pixel, share in ((math.floor(centre), 1 - centre % 1), (math.floor(centre) + 1, centre % 1)):
            for distance, weight in weights.items() if share else ():
                matrix[row, int(mirrored(pixel + distance))] += share * weight / sum(weights.values())
    return np.einsum("ih,hwc,jw->ijc", matrix, square, matrix)


@pytest.mark.parametrize("size", [(90, 64), (64, 64), (40, 30), (100, 150)])
def test_pictures_are_padded_to_a_square_and_resized_as_defined(
    web: Any, hub_folders: dict[str, Path], size: tuple[int, int]
) -> None:
    rules = SquareRules.read(hub_folders["owlv2"])
    image = decoded(web.jpeg(2, *size))
    wanted = (naive_resize(np.array(image) / 255, 64) - np.array(rules.mean)) / np.array(rules.std)
    np.testing.assert_allclose(rules.tensor(image).permute(1, 2, 0).numpy(), wanted, atol=2e-4)


@pytest.mark.parametrize("size", [(90, 64), (64, 64), (40, 30), (500, 333)])
def test_pictures_are_prepared_as_by_transformers(
    web: Any, hub_folders: dict[str, Path], size: tuple[int, int]
) -> None:
    pytest.importorskip("scipy", reason="transformers resizes for OWLv2 with scipy")
    from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil

    image = decoded(web.jpeg(2, *size))
    wanted = Owlv2ImageProcessorPil.from_pretrained(hub_folders["owlv2"])(image, return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(SquareRules.read(hub_folders["owlv2"]).tensor(image), wanted, atol=1e-4, rtol=0)


def test_every_rule_of_a_preprocessor_is_followed(web: Any, hub_folders: dict[str, Path], tmp_path: Path) -> None:
    folder, image = shutil.copytree(hub_folders["owlv2"], tmp_path / "owlv2"), decoded(web.jpeg(2, 64, 64))
    path = folder / "preprocessor_config.json"
    before, rules = SquareRules.read(folder).tensor(image), json.loads(path.read_text())
    plain = {name: rules[name] for name in ("image_processor_type", "size")}
    path.write_text(json.dumps(plain))
    torch.testing.assert_close(SquareRules.read(folder).tensor(image), before)
    path.write_text(json.dumps(plain | {"image_mean": [0, 0, 0], "image_std": [1, 1, 1], "rescale_factor": 1}))
    wanted = torch.from_numpy(np.array(image)).permute(2, 0, 1).float()
    torch.testing.assert_close(SquareRules.read(folder).tensor(image), wanted)


def test_neighbours_do_not_change_a_pictures_boxes_whatever_number_of_phrases_they_have(
    web: Any, grounder: Grounder
) -> None:
    questions = []
    for number in range(6):
        image = decoded(web.jpeg(number, *[(90, 64), (64, 90)][number % 2]))
        prompt = Prompt(CAPTION, PROMPT.spans[: 1 + number % 2])
        questions.append(Question(grounder.prepare(image), prompt, *image.size))
    second = Prompt("two cats", (PromptSpan(1, 0, 8),))  # another prompt on the last picture
    questions.append(Question(questions[-1].pixels, second, questions[-1].width, questions[-1].height))
    together = grounder.ground(questions, 0.05)
    alone = [grounder.ground([question], 0.05)[0] for question in questions]
    for ours, theirs in zip(together, alone, strict=True):
        assert [one.phrase for one in ours] == [one.phrase for one in theirs]
        assert [x for one in ours for x in (one.score, *one.box_xyxy)] == pytest.approx(
            [x for one in theirs for x in (one.score, *one.box_xyxy)], abs=1e-3
        )
    assert all(alone)


def test_a_phrase_of_more_tokens_than_a_query_holds_is_left_out_whole_and_the_caption_is_never_split(
    grounder: Grounder,
) -> None:
    long = "an unusually elaborate birthday cake"  # a letter is a token here, and 16 are all there are
    caption = f"{long} and a dog" + " in a field" * 50
    phrases = (Phrase(long, 0, len(long), "cake"), Phrase("a dog", len(long) + 5, len(long) + 10, "dog"))
    sample = ParsedCaption(CaptionedImage("k", b"", "jpg", caption, "here"), phrases)
    request = request_grounding(sample, grounder)
    assert isinstance(request, GroundingRequest)
    assert [phrase.text for phrase in request.phrases] == ["a dog"]
    assert [prompt.text for prompt in request.prompts] == [caption]


def test_boxes_wholly_in_the_padding_are_none_and_the_others_lie_in_the_picture(web: Any, grounder: Grounder) -> None:
    image = CaptionedImage("wide", web.jpeg(1, 200, 60), "jpg", CAPTION, "here")
    phrases = (Phrase("a dog", 0, 5, "dog"), Phrase("two cats", 10, 18, "cat"))
    outcome = TeacherWorker(grounder, batch_size=1, min_score=0.01).ground(
        [GroundingRequest(image, phrases, (PROMPT,))]
    )
    assert isinstance(outcome[0], Grounding)
    assert outcome[0].candidates
    assert all(one.box_xyxy[1] < 60 and one.box_xyxy[3] <= 60 for one in outcome[0].candidates)


@pytest.mark.parametrize("side", ["min_size", "max_size"])
def test_a_size_in_the_recipe_is_refused(hub_folders: dict[str, Path], side: str) -> None:
    with pytest.raises(ValueError, match="OWLv2 has one input size"):
        open_grounder(TeacherRecipe(grounder="owlv2", checkpoint=str(hub_folders["owlv2"]), **{side: 60}))  # type: ignore[arg-type]


def test_pictures_of_another_size_than_the_models_are_refused(hub_folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(hub_folders["owlv2"], tmp_path / "owlv2")
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"size": {"height": 48, "width": 48}}))
    with pytest.raises(ValueError, match="pictures of 48 for a model of 64"):
        open_grounder(TeacherRecipe(grounder="owlv2", checkpoint=str(folder), device="cpu"))


def test_a_prompt_without_a_phrase_has_no_box_and_its_neighbours_keep_theirs(web: Any, grounder: Grounder) -> None:
    pixels = [grounder.prepare(decoded(web.jpeg(number, 64, 64))) for number in range(2)]
    nothing, asked = Question(pixels[0], Prompt("and", ()), 64, 64), Question(pixels[1], PROMPT, 64, 64)
    assert grounder.ground([nothing], 0.05) == [[]]
    alone, together = grounder.ground([asked], 0.05)[0], grounder.ground([nothing, asked], 0.05)
    assert together[0] == []
    assert [one.score for one in together[1]] == pytest.approx([one.score for one in alone], abs=1e-4)
    assert alone
