"""Grounding DINO and its MM sister: what transformers answers is what comes out, phrase by phrase, in pixels."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pictures import decoded
from PIL import Image

from schemas.recipes import TeacherRecipe
from schemas.records import Candidate, CaptionedImage, Grounding, GroundingRequest, Phrase, Prompt, PromptSpan
from teacher.detr_image import ImageRules
from teacher.grounder import open_grounder, teacher_digest
from teacher.grounding_dino_grounder import closed, tokens_of
from teacher.protocol import Grounder, Question
from teacher.worker import TeacherWorker

KINDS = ("grounding-dino", "mm-grounding-dino")
CAPTION = "A brown dog and two cats"
PROMPT = Prompt(CAPTION, (PromptSpan(0, 0, 11), PromptSpan(1, 16, 24)))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(kind: str, hub_folders: dict[str, Path]) -> Path:
    return hub_folders[kind]


def opened(kind: str, folder: Path, **fields: Any) -> Grounder:
    return open_grounder(TeacherRecipe(grounder=kind, checkpoint=str(folder), device="cpu", **fields))


def ask(grounder: Grounder, image: Image.Image, prompt: Prompt = PROMPT) -> list[Candidate]:
    question = Question(grounder.prepare(image), prompt, image.width, image.height)
    return grounder.ground([question], 0.05)[0]


def by_transformers(kind: str, folder: Path, image: Image.Image, text: str, places: Sequence[int]) -> dict[str, Any]:
    """What transformers' own processing and post-processing give where only the tokens at ``places`` count."""
    import transformers
    from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil

    prefix = {"grounding-dino": "GroundingDino", "mm-grounding-dino": "MMGroundingDino"}[kind]
    model = getattr(transformers, f"{prefix}ForObjectDetection").from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    images = GroundingDinoImageProcessorPil.from_pretrained(folder)
    pixels = images(image, return_tensors="pt", pad_size={"height": 64, "width": 96})
    with torch.inference_mode():
        words = tokenizer(text, return_tensors="pt")
        output = model(**pixels, **words)
        elsewhere = [place for place in range(output.logits.shape[-1]) if place not in places]
        output.logits[..., elsewhere] = float("-inf")
    # The method needs of its processor the tokenizer alone; a processor itself cannot be made without torchvision.
    found: dict[str, Any] = transformers.GroundingDinoProcessor.post_process_grounded_object_detection(
        SimpleNamespace(batch_decode=tokenizer.batch_decode),
        output,
        words["input_ids"],
        threshold=0.05,
        target_sizes=[(image.height, image.width)],
    )[0]
    return found


def test_scores_and_boxes_of_a_phrase_are_those_of_transformers_for_its_tokens(
    web: Any, kind: str, folder: Path
) -> None:
    image = decoded(web.jpeg(1))
    found = ask(opened(kind, folder), image)
    for phrase, places in enumerate([(1, 2, 3), (5, 6)]):  # [CLS] a brown dog and two cats . [SEP]
        wanted = by_transformers(kind, folder, image, CAPTION + ".", places)
        ours = sorted((one for one in found if one.phrase == phrase), key=lambda one: -one.score)
        order = wanted["scores"].argsort(descending=True)
        assert [one.score for one in ours] == pytest.approx(wanted["scores"][order].tolist(), abs=1e-5)
        boxes = torch.tensor([one.box_xyxy for one in ours])
        torch.testing.assert_close(boxes, wanted["boxes"][order], atol=1e-3, rtol=0)
    assert found, "a test on nothing"


def test_boxes_carry_the_number_of_their_phrase_and_a_phrase_without_a_token_has_none(
    web: Any, kind: str, folder: Path
) -> None:
    grounder, image = opened(kind, folder), decoded(web.jpeg(1))
    space = PromptSpan(4, 11, 12)
    found = ask(grounder, image, Prompt(CAPTION, (PromptSpan(2, 0, 11), space, PromptSpan(7, 16, 24))))
    numbers = {0: 2, 1: 7}
    assert found == [dataclasses.replace(one, phrase=numbers[one.phrase]) for one in ask(grounder, image)]
    assert {one.phrase for one in found} == {2, 7}
    assert ask(grounder, image, Prompt(CAPTION, (space,))) == []


@pytest.mark.parametrize("size", [(80, 64), (64, 80), (1000, 300), (300, 1000), (50, 50), (64, 64), (63, 97), (70, 85)])
def test_pictures_are_prepared_as_by_transformers(
    web: Any, hub_folders: dict[str, Path], size: tuple[int, int]
) -> None:
    from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil

    folder = hub_folders["grounding-dino"]
    image = decoded(web.jpeg(3, *size))
    wanted = GroundingDinoImageProcessorPil.from_pretrained(folder)(image, return_tensors="pt")["pixel_values"][0]
    rules = ImageRules.read(folder, None, None)
    torch.testing.assert_close(rules.tensor(image), wanted, atol=1e-5, rtol=0)
    height, width = rules.padded_shape(*size)
    assert (height % 32, width % 32) == (0, 0)
    assert height - 32 < wanted.shape[1] <= height
    assert width - 32 < wanted.shape[2] <= width


def test_neighbours_do_not_change_a_pictures_boxes(web: Any, kind: str, folder: Path) -> None:
    texts = [CAPTION, "a dog", "the red sofa on a field of flowers with a man beside the car", "cats?", "two cats."]
    requests = []
    for number in range(10):
        text = texts[number % len(texts)]
        size = [(80, 64), (64, 80), (78, 66)][number % 3]
        phrase = Phrase(text, 0, len(text), "x")
        prompt = Prompt(text, (PromptSpan(0, 0, len(text)),))
        source = CaptionedImage(str(number), web.jpeg(number, *size), "jpg", text, "here")
        requests.append(GroundingRequest(source, (phrase,), (prompt,)))
    grounder = opened(kind, folder)
    together = TeacherWorker(grounder, batch_size=8, min_score=0.05).ground(requests)
    alone = [TeacherWorker(grounder, batch_size=1, min_score=0.05).ground([one])[0] for one in requests]
    for ours, theirs in zip(together, alone, strict=True):
        assert isinstance(ours, Grounding)
        assert isinstance(theirs, Grounding)
        assert [one.score for one in ours.candidates] == pytest.approx([c.score for c in theirs.candidates], abs=2e-4)
        assert [x for one in ours.candidates for x in one.box_xyxy] == pytest.approx(
            [x for one in theirs.candidates for x in one.box_xyxy], abs=0.11
        )
    assert sum(len(one.candidates) for one in alone if isinstance(one, Grounding)) > 20


def test_a_prompt_ends_in_a_full_stop_which_moves_no_offset() -> None:
    assert closed("a dog") == "a dog."
    assert closed("a dog. ") == "a dog."
    assert closed("a dog?") == "a dog?"


def test_the_tokens_of_a_span_are_those_that_share_a_character_with_it(hub_folders: dict[str, Path]) -> None:
    import transformers

    tokenizer = transformers.BertTokenizerFast.from_pretrained(hub_folders["grounding-dino"])
    text = "Dogs, two cats-man."
    encoded = tokenizer(text, return_offsets_mapping=True)
    words = tokenizer.convert_ids_to_tokens(encoded["input_ids"])
    assert words == ["[CLS]", "dog", "##s", ",", "two", "cats", "-", "man", ".", "[SEP]"]

    def under(start: int, end: int) -> list[str]:
        return [words[place] for place in tokens_of((start, end), encoded["offset_mapping"])]

    assert under(0, 4) == ["dog", "##s"]
    assert under(6, 14) == ["two", "cats"]
    assert under(15, 18) == ["man"]
    assert under(4, 6) == [","]
    assert under(5, 6) == []


def test_the_length_of_a_prompt_counts_what_the_model_adds(kind: str, folder: Path) -> None:
    grounder = opened(kind, folder)
    assert grounder.count_tokens("a dog") == len(["[CLS]", "a", "dog", ".", "[SEP]"])
    assert grounder.max_tokens == 48
    assert grounder.phrase_fits(" ".join(["dog"] * 45))
    assert not grounder.phrase_fits(" ".join(["dog"] * 46))


def test_a_prompt_is_no_longer_than_the_text_model_has_positions_for(folder: Path, kind: str, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    path = tmp_path / "copy" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "max_text_len": 80}))
    assert opened(kind, tmp_path / "copy").max_tokens == config["text_config"]["max_position_embeddings"] == 64


def test_the_digest_covers_weights_configuration_vocabulary_and_sizes(folder: Path, kind: str, tmp_path: Path) -> None:
    def digest(where: Path, **fields: Any) -> str:
        return teacher_digest(TeacherRecipe(grounder=kind, checkpoint=str(where), **fields))

    shutil.copytree(folder, tmp_path / "copy")
    assert digest(folder) == digest(tmp_path / "copy")
    digests = {digest(folder), digest(folder, min_size=60), digest(folder, max_size=90)}
    path = tmp_path / "copy" / "preprocessor_config.json"
    path.write_text(path.read_text().replace("0.485", "0.5"))
    digests.add(digest(tmp_path / "copy"))
    path = tmp_path / "copy" / "tokenizer.json"
    path.write_text(path.read_text().replace('"sofa"', '"soda"'))
    digests.add(digest(tmp_path / "copy"))
    assert len(digests) == 5


def test_a_vocabulary_of_other_ids_is_refused(folder: Path, kind: str, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    path = tmp_path / "copy" / "tokenizer.json"
    path.write_text(path.read_text().replace('"?"', '"¿"'))
    with pytest.raises(ValueError, match="not the vocabulary of bert-base-uncased"):
        opened(kind, tmp_path / "copy")


def test_a_checkpoint_that_is_not_whole_or_not_safe_is_refused(folder: Path, kind: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, tmp_path / "copy")
    weights = load_file(tmp_path / "copy" / "model.safetensors")
    lost = next(name for name in weights if "text_projection" in name)
    save_file(
        {k: v for k, v in weights.items() if k != lost}, tmp_path / "copy" / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(ValueError, match="text_projection"):
        opened(kind, tmp_path / "copy")
    torch.save(weights, tmp_path / "copy" / "pytorch_model.bin")
    (tmp_path / "copy" / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks model\.safetensors; pickled weights"):
        opened(kind, tmp_path / "copy")


def test_a_checkpoint_of_another_model_is_refused(hub_folders: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="wanted a grounding-dino checkpoint, found model_type 'owlv2'"):
        opened("grounding-dino", hub_folders["owlv2"])


def test_a_name_on_the_hub_needs_a_commit() -> None:
    with pytest.raises(ValueError, match=r"needs teacher\.revision"):
        opened("grounding-dino", Path("IDEA-Research/grounding-dino-tiny"))
    with pytest.raises(FileNotFoundError, match="is neither a folder nor a name on the hub"):
        opened("grounding-dino", Path("/nowhere/at/all"))


def test_without_a_network_the_error_says_what_to_put_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=r"hf download IDEA-Research/grounding-dino-tiny --revision 0123.*FOLDER"
    ):
        opened("grounding-dino", Path("IDEA-Research/grounding-dino-tiny"), revision="0123456789" * 4)


@pytest.mark.parametrize(
    "rules",
    [{"size": {"height": 64, "width": 64}}, {"do_resize": False}, {"do_rescale": False}, {"do_normalize": False}],
)
def test_a_preprocessor_of_another_kind_is_refused(
    hub_folders: dict[str, Path], tmp_path: Path, rules: dict[str, Any]
) -> None:
    folder = shutil.copytree(hub_folders["grounding-dino"], tmp_path / "copy")
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | rules))
    with pytest.raises(ValueError, match="wanted a size of shortest_edge and longest_edge, and resizing; found"):
        ImageRules.read(folder, None, None)


def test_every_rule_of_a_preprocessor_is_followed(web: Any, hub_folders: dict[str, Path], tmp_path: Path) -> None:
    from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil

    folder = shutil.copytree(hub_folders["grounding-dino"], tmp_path / "copy")
    path, image = folder / "preprocessor_config.json", decoded(web.jpeg(3, 90, 70))
    others = {"resample": 0, "rescale_factor": 0.01, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7]}
    path.write_text(json.dumps(json.loads(path.read_text()) | others))
    wanted = GroundingDinoImageProcessorPil.from_pretrained(folder)(image, return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(ImageRules.read(folder, None, None).tensor(image), wanted, atol=1e-5, rtol=0)
    path.write_text(json.dumps({"size": {"shortest_edge": 64, "longest_edge": 96}}))
    wanted = GroundingDinoImageProcessorPil.from_pretrained(folder)(image, return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(ImageRules.read(folder, None, None).tensor(image), wanted, atol=1e-5, rtol=0)
