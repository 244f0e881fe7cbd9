"""Model folders and published files: round trips, and everything that must be refused."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from glip import checkpoint
from glip.checkpoint import load_model, rename_published, save_model
from glip.config import GLIPConfig
from glip.model import GLIP
from glip.tokens import SPECIAL_TOKENS, PromptTokenizer, load_tokenizer


@pytest.fixture
def folder(tmp_path: Path, small_model: GLIP, tokenizer: PromptTokenizer) -> Path:
    return save_model(tmp_path / "model", small_model, tokenizer, {"steps": 7})


def test_a_saved_model_gives_the_same_answers(folder: Path, small_model: GLIP, tokenizer: PromptTokenizer) -> None:
    loaded = load_model(folder)
    prompts = tokenizer.encode(["a dog"], 16)
    arguments = (torch.randn(1, 3, 64, 64), prompts.ids_BT, prompts.attention_mask_BT)
    with torch.no_grad():
        assert all(map(torch.equal, loaded.model(*arguments).logits, small_model(*arguments).logits))
    assert not loaded.model.training
    assert loaded.config == small_model.config
    assert loaded.metadata == {"steps": 7}
    assert loaded.tokenizer.to_json() == tokenizer.to_json()


def test_equal_models_have_equal_digests_whatever_their_record_says(
    folder: Path, tmp_path: Path, small_model: GLIP, tokenizer: PromptTokenizer
) -> None:
    again = save_model(tmp_path / "again", small_model, tokenizer, {"steps": 8})
    assert load_model(folder).digest == load_model(again).digest
    with torch.no_grad():
        small_model.rpn["head"].bias0 += 1
    other = save_model(tmp_path / "other", small_model, tokenizer, {"steps": 7})
    assert load_model(folder).digest != load_model(other).digest


def test_half_precision_files_load_as_float32(tmp_path: Path, small_model: GLIP, tokenizer: PromptTokenizer) -> None:
    folder = save_model(tmp_path / "half", small_model, tokenizer, {}, dtype=torch.float16)
    assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {torch.float16}
    assert {parameter.dtype for parameter in load_model(folder).model.parameters()} == {torch.float32}


def test_saving_replaces_a_folder_as_a_whole(folder: Path, small_model: GLIP, tokenizer: PromptTokenizer) -> None:
    (folder / "left-over").write_text("x")
    save_model(folder, small_model, tokenizer, {"steps": 8})
    assert load_model(folder).metadata == {"steps": 8}
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_failed_save_leaves_the_old_model(folder: Path, small_model: GLIP, tokenizer: PromptTokenizer) -> None:
    with pytest.raises(TypeError):
        save_model(folder, small_model, tokenizer, {"not json": object()})
    assert load_model(folder).metadata == {"steps": 7}
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_loading_does_not_move_the_random_state(folder: Path) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    load_model(folder)
    assert torch.equal(torch.rand(2), wanted)


def test_a_missing_model_names_what_would_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="shipped names"):
        load_model(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        load_model(tmp_path / "empty")


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_truncated_file_is_refused_by_name(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=name):
        load_model(folder)


def rewrite(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """Other weights under a digest that agrees with them."""
    save_file(weights, folder / "model.safetensors")
    description = json.loads((folder / "config.json").read_text())
    description["sha256"]["model.safetensors"] = checkpoint._file_sha256(folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(description))


def test_missing_unknown_and_misshaped_entries_are_listed(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["rpn.head.bias0"]
    weights["rpn.head.invented"] = torch.zeros(3)
    weights["rpn.head.log_scale"] = torch.zeros(2)
    rewrite(folder, weights)
    with pytest.raises(ValueError, match="missing") as caught:
        load_model(folder)
    for part in (
        "1 missing: rpn.head.bias0",
        "1 unknown: rpn.head.invented",
        "rpn.head.log_scale (2,) instead of (1,)",
    ):
        assert part in str(caught.value)


def test_weights_that_are_not_numbers_are_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["rpn.head.bias0"] = torch.tensor([float("nan")])
    rewrite(folder, weights)
    with pytest.raises(ValueError, match=r"not finite numbers: rpn\.head\.bias0"):
        load_model(folder)


def test_a_config_of_a_giant_is_refused_before_memory_is_taken(folder: Path) -> None:
    description = json.loads((folder / "config.json").read_text())
    description["config"] |= {"text_width": 16_384, "text_intermediate": 16_384, "text_layers": 200}
    (folder / "config.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match="missing"):
        load_model(folder)


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path, small_model: GLIP) -> None:
    words = [f"word{i}" for i in range(300)]
    (tmp_path / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, *words]), encoding="utf-8")
    folder = save_model(tmp_path / "mixed", small_model, load_tokenizer(tmp_path), {})
    with pytest.raises(ValueError, match="305 ids, the model embeddings for 200"):
        load_model(folder)


class _Attack:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch attacked",)


@pytest.mark.parametrize(
    "save", [lambda x, p: torch.save(x, p), lambda x, p: p.write_bytes(pickle.dumps(x, protocol=2))]
)
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: object
) -> None:
    monkeypatch.chdir(tmp_path)
    save({"model": _Attack()}, tmp_path / "evil.pth")  # type: ignore[operator]
    with pytest.raises(ValueError, match=r"evil\.pth"):
        load_model(tmp_path / "evil.pth")
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"text"])
@pytest.mark.parametrize("name", ["broken.pth", "broken.safetensors"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        load_model(tmp_path / name)


def published_form(model: GLIP) -> dict[str, torch.Tensor]:
    """The state dict as the published files hold it."""
    extras = {
        "backbone.body.layers.0.blocks.0.attn.relative_position_index": torch.zeros(16, 16, dtype=torch.long),
        "rpn.anchor_generator.cell_anchors.0": torch.zeros(1, 4),
        "rpn.head.cls_logits.weight": torch.zeros(80, 16, 1, 1),
        "language_backbone.body.model.embeddings.position_ids": torch.zeros(1, 64, dtype=torch.long),
        "language_backbone.body.model.pooler.dense.weight": torch.zeros(32, 32),
    }
    return {f"module.{key}": value for key, value in (model.state_dict() | extras).items()}


def test_published_keys_lose_their_prefix_and_what_this_model_lacks(small_model: GLIP) -> None:
    renamed = rename_published(published_form(small_model))
    assert set(renamed) == set(small_model.state_dict())


def test_a_published_file_loads_by_its_own_keys(
    tmp_path: Path, small_model: GLIP, tokenizer: PromptTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GLIP-T itself takes a gigabyte; the way through the file is the same for a small model of its first width.
    monkeypatch.setattr(GLIPConfig, "tiny", classmethod(lambda _: small_model.config))
    torch.save({"model": published_form(small_model), "iteration": 3}, tmp_path / "glip.pth")
    with pytest.raises(FileNotFoundError, match=r"vocab\.txt of bert-base-uncased"):
        load_model(tmp_path / "glip.pth")
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_json())
    loaded = load_model(tmp_path / "glip.pth")
    assert loaded.config == small_model.config
    assert all(torch.equal(value, loaded.model.state_dict()[key]) for key, value in small_model.state_dict().items())


def test_a_published_file_of_another_size_is_refused(tmp_path: Path, small_model: GLIP) -> None:
    torch.save({"model": published_form(small_model)}, tmp_path / "small.pth")
    with pytest.raises(ValueError, match=r"GLIP-T \(96\) and GLIP-L \(192\)"):
        load_model(tmp_path / "small.pth")
