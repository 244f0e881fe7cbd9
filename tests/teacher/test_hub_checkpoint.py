"""A checkpoint of the hub as others write it, and one that is damaged or was made to hurt: an error names the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pictures import decoded
from safetensors.torch import load_file, save_file

from schemas.recipes import TeacherRecipe
from schemas.records import Prompt, PromptSpan
from teacher.detr_image import ImageRules
from teacher.grounder import GROUNDERS
from teacher.owlv2_image import SquareRules
from teacher.protocol import Grounder, Question

WEIGHTS, RULES = "model.safetensors", "preprocessor_config.json"


def opened(kind: str, folder: Path) -> Grounder:
    return GROUNDERS[kind](TeacherRecipe(grounder=kind, checkpoint=str(folder), device="cpu"))


@pytest.fixture
def owlv2(hub_folders: dict[str, Path], tmp_path: Path) -> Path:
    """A copy to be changed."""
    return shutil.copytree(hub_folders["owlv2"], tmp_path / "owlv2")


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.json", {"vision_config": {"num_hidden_layers": 10**6}}, r"num_hidden_layers is 1000000, at most 256"),
        ("config.json", {"text_config": {"vocab_size": 10**12}}, r"text_config\.vocab_size is 1000000000000"),
        ("config.json", {"text_config": {"num_attention_heads": 0}}, r"cannot be made of its config\.json"),
        (
            "preprocessor_config.json",
            {"size": {"height": 10**7}},
            r"preprocessor_config\.json: size\.height: .*10000000",
        ),
    ],
)
def test_a_description_beyond_any_model_is_refused(
    owlv2: Path, file: str, change: dict[str, Any], message: str
) -> None:
    description = json.loads((owlv2 / file).read_text())
    for name, fields in change.items():
        description[name] |= fields
    (owlv2 / file).write_text(json.dumps(description))
    with pytest.raises(ValueError, match=message):
        opened("owlv2", owlv2)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"size": 64}, "size: .*came: 64"),
        ({"size": {"height": 0, "width": 0}}, r"size\.height: .*came: 0"),
        ({"resample": 9}, "resample: .*came: 9"),
        ({"image_mean": [0.5]}, r"image_mean\.1: "),
        ({"image_std": [0, 1, 1]}, r"image_std\.0: .*came: 0"),
        ({"rescale_factor": "a 255th"}, "rescale_factor: "),
        ({"do_normalize": False}, r"without \['do_normalize'\]"),
        ({"size": {"height": 64, "width": 32}}, "wanted pictures padded and resized to a square"),
    ],
)
def test_rules_for_pictures_that_are_none_are_told_when_the_checkpoint_is_opened(
    owlv2: Path, rules: dict[str, Any], message: str
) -> None:
    """Not by a reject for every picture."""
    (owlv2 / RULES).write_text(json.dumps(json.loads((owlv2 / RULES).read_text()) | rules))
    with pytest.raises(ValueError, match=rf"preprocessor_config\.json: .*{message}"):
        opened("owlv2", owlv2)


def test_a_rule_that_is_null_is_the_models_own(owlv2: Path) -> None:
    """As files of transformers have it for what nobody set."""
    rules, wanted = json.loads((owlv2 / RULES).read_text()), SquareRules.read(owlv2)
    (owlv2 / RULES).write_text(json.dumps(rules | {"do_pad": None, "rescale_factor": None, "image_mean": None}))
    assert SquareRules.read(owlv2) == wanted


def test_a_processor_saved_as_one_file_is_read_as_transformers_reads_it(
    hub_folders: dict[str, Path], tmp_path: Path
) -> None:
    """As transformers 5 saves what was fine-tuned with it."""
    for kind, read in (("owlv2", SquareRules.read), ("grounding-dino", lambda at: ImageRules.read(at, None, None))):
        folder = shutil.copytree(hub_folders[kind], tmp_path / kind)
        wanted, rules = read(folder), json.loads((folder / RULES).read_text())
        processor = {"image_processor": rules, "processor_class": "AnyProcessor"}
        (folder / "processor_config.json").write_text(json.dumps(processor))
        (folder / RULES).write_text(json.dumps(rules | {"image_mean": [0, 0, 0]}))
        assert read(folder) == wanted, "of both it is the one that counts"
        (folder / RULES).unlink()
        assert read(folder) == wanted
        digest = opened(kind, folder).digest
        (folder / "processor_config.json").write_text(
            json.dumps(processor | {"image_processor": rules | {"image_mean": [0, 0, 0]}})
        )
        assert opened(kind, folder).digest != digest
        (folder / "processor_config.json").write_text(json.dumps({"processor_class": "AnyProcessor"}))
        with pytest.raises(FileNotFoundError, match=r"lacks preprocessor_config\.json"):
            opened(kind, folder)


@pytest.mark.parametrize("kind", ["owlv2", "grounding-dino"])
def test_weights_that_are_not_finite_are_refused(kind: str, hub_folders: dict[str, Path], tmp_path: Path) -> None:
    """With them nothing would be found in any picture, and nothing said."""
    folder = shutil.copytree(hub_folders[kind], tmp_path / kind)
    weights = load_file(folder / WEIGHTS)
    name = sorted(name for name, value in weights.items() if value.dim() == 2)[0]
    weights[name][1, 1] = float("nan")
    save_file(weights, folder / WEIGHTS, {"format": "pt"})
    with pytest.raises(ValueError, match=rf"1 of its weights are not finite numbers: .*{name.split('.')[-2]}"):
        opened(kind, folder)


def test_weights_stored_in_16_bits_are_computed_with_in_32(owlv2: Path, tmp_path: Path, web: Any) -> None:
    import transformers

    model = transformers.Owlv2ForObjectDetection.from_pretrained(owlv2).half()
    wide = shutil.copytree(owlv2, tmp_path / "wide")
    model.save_pretrained(owlv2)
    model.float().save_pretrained(wide)
    assert (owlv2 / WEIGHTS).stat().st_size < (wide / WEIGHTS).stat().st_size
    assert _found(owlv2, web) == pytest.approx(_found(wide, web), abs=1e-4)


def _found(folder: Path, web: Any) -> list[float]:
    """Scores and boxes, whose last digits are the machine's own."""
    grounder, image = opened("owlv2", folder), decoded(web.jpeg(1, 90))
    prompt = Prompt("a dog", (PromptSpan(0, 0, 5),))
    found = grounder.ground([Question(grounder.prepare(image), prompt, *image.size)], 0.05)[0]
    assert found
    return [number for one in found for number in (one.score, *one.box_xyxy)]


def test_weights_in_several_files_are_one_model(owlv2: Path, tmp_path: Path, web: Any) -> None:
    import transformers

    model = transformers.Owlv2ForObjectDetection.from_pretrained(owlv2)
    whole = shutil.copytree(owlv2, tmp_path / "whole")
    (owlv2 / WEIGHTS).unlink()
    model.save_pretrained(owlv2, max_shard_size="30KB")
    parts = sorted(owlv2.glob("model-*.safetensors"))
    assert len(parts) > 1
    assert _found(owlv2, web) == pytest.approx(_found(whole, web), abs=1e-4)
    before = opened("owlv2", owlv2).digest
    weights = load_file(parts[-1])
    save_file({name: value * 2 for name, value in weights.items()}, parts[-1], {"format": "pt"})
    assert opened("owlv2", owlv2).digest != before
    parts[-1].unlink()
    with pytest.raises(ValueError, match=parts[-1].name):
        opened("owlv2", owlv2)


def test_a_vocabulary_that_is_damaged_or_not_the_models_own_is_refused(
    owlv2: Path, hub_folders: dict[str, Path]
) -> None:
    """Read without its merges, CLIP's would spell every word; without its end, a phrase would mean its first token."""
    tokenizer = json.loads((owlv2 / "tokenizer.json").read_text())
    (owlv2 / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match="its tokenizer cannot be read"):
        opened("owlv2", owlv2)
    shutil.copy(hub_folders["grounding-dino"] / "tokenizer.json", owlv2)
    with pytest.raises(ValueError, match="not the vocabulary of its model: wanted 521 tokens"):
        opened("owlv2", owlv2)
    (owlv2 / "tokenizer.json").unlink()
    (owlv2 / "vocab.txt").write_text("dog\ncat\n")  # BERT's, of which CLIP's tokenizer takes nothing
    with pytest.raises(ValueError, match="not the vocabulary of its model: wanted 521 tokens"):
        opened("owlv2", owlv2)
    (owlv2 / "vocab.txt").unlink()
    (owlv2 / "vocab.json").write_text(json.dumps(tokenizer["model"]["vocab"]))
    with pytest.raises(FileNotFoundError, match=r"lacks a tokenizer \(.*vocab\.json with merges\.txt"):
        opened("owlv2", owlv2)


def test_weights_of_another_shape_are_named(owlv2: Path) -> None:
    weights = load_file(owlv2 / WEIGHTS)
    name = "box_head.dense0.weight"
    save_file(weights | {name: weights[name][:3, :3].contiguous()}, owlv2 / WEIGHTS, {"format": "pt"})
    with pytest.raises(ValueError, match=rf"the weights are not those of its config\.json: .*{name}.*3, 3.*16, 16"):
        opened("owlv2", owlv2)


def test_a_folder_of_another_kind_is_told_with_the_grounder_that_it_wants(owlv2: Path, random_checkpoint: Path) -> None:
    (owlv2 / "tokenizer.json").rename(owlv2 / "vocab.txt")  # there need be no file that a model folder has too
    with pytest.raises(
        ValueError, match=r"model_type 'owlv2'.*named with its grounder, as in --set teacher\.grounder="
    ):
        opened("glip", owlv2)
    with pytest.raises(FileNotFoundError, match=r"lacks preprocessor_config\.json; it is a model folder of GLIP"):
        opened("owlv2", random_checkpoint)


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("tokenizer.json", "lacks a tokenizer .*; bring it from where the model was published or saved"),
        ("config.json", r"lacks config\.json; bring it"),
        ("model.safetensors", r"lacks model\.safetensors; pickled weights .* are not read: save the model again"),
    ],
)
def test_what_a_checkpoint_lacks_is_told_with_what_to_do(owlv2: Path, gone: str, message: str) -> None:
    (owlv2 / gone).unlink()
    with pytest.raises(FileNotFoundError, match=message):
        opened("owlv2", owlv2)
