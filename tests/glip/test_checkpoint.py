"""Model folders and published files: round trips, and everything that must be refused."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from glip.checkpoint import load_model, save_model
from glip.model import GLIP
from glip.tokens import SPECIAL_TOKENS, PromptTokenizer, load_tokenizer
from glip.whole_folder import written_whole


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


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_a_saved_model_is_as_readable_as_the_umask_says(
    tmp_path: Path, small_model: GLIP, tokenizer: PromptTokenizer, mask: int, mode: int
) -> None:
    before = os.umask(mask)
    try:
        folder = save_model(tmp_path / "model", small_model, tokenizer, {})
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {mode}


def test_a_file_system_without_modes_takes_a_model(
    tmp_path: Path, small_model: GLIP, tokenizer: PromptTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError("chmod is not permitted")

    monkeypatch.setattr("os.chmod", refused)
    assert load_model(save_model(tmp_path / "model", small_model, tokenizer, {"steps": 1})).metadata == {"steps": 1}


def test_the_weights_must_have_the_digest_that_is_asked_for(folder: Path) -> None:
    digest = digest_of(folder / "model.safetensors")
    assert load_model(folder, sha256=digest.upper()).metadata == {"steps": 7}
    with pytest.raises(ValueError, match="wanted was 0000"):
        load_model(folder, sha256="0" * 64)


def test_a_failed_save_leaves_the_old_model(folder: Path, small_model: GLIP, tokenizer: PromptTokenizer) -> None:
    with pytest.raises(TypeError):
        save_model(folder, small_model, tokenizer, {"not json": object()})
    assert load_model(folder).metadata == {"steps": 7}
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_what_a_killed_save_left_is_removed_by_the_next_one(
    folder: Path, small_model: GLIP, tokenizer: PromptTokenizer
) -> None:
    program = "import os, sys; from pathlib import Path; from glip.whole_folder import written_whole\n"
    program += "with written_whole(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", program, str(folder)]).returncode == -signal.SIGKILL
    (left,) = folder.parent.glob(".model.draft-*")
    swapped = left.with_name(".model.old-0")
    others = [folder.with_name(name) for name in (".model2.draft-0", ".model.other-0")]
    for one in (swapped, *others):
        one.mkdir()
    save_model(folder, small_model, tokenizer, {})
    assert sorted(folder.parent.iterdir()) == sorted([folder, *others])


def test_a_save_leaves_alone_what_another_one_is_writing(
    folder: Path, small_model: GLIP, tokenizer: PromptTokenizer
) -> None:
    with written_whole(folder) as draft:
        (draft / "first").write_text("written")
        save_model(folder, small_model, tokenizer, {"steps": 8})
        assert load_model(folder).metadata == {"steps": 8}
    assert [path.name for path in folder.iterdir()] == ["first"]
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_loading_does_not_move_the_random_state(folder: Path) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    load_model(folder)
    assert torch.equal(torch.rand(2), wanted)


def test_a_missing_model_names_what_would_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"shipped name \(nano\) or a published name \(glip-t, glip-l\)"):
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


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rewrite(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """Other weights under a digest that agrees with them."""
    save_file(weights, folder / "model.safetensors")
    description = json.loads((folder / "config.json").read_text())
    description["sha256"]["model.safetensors"] = digest_of(folder / "model.safetensors")
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


@pytest.mark.parametrize("kind", [torch.float32, torch.float8_e4m3fn, torch.int8, torch.complex64])
def test_weights_that_are_not_numbers_are_refused(folder: Path, kind: torch.dtype) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["rpn.head.bias0"] = torch.tensor([float("nan") if kind == torch.float32 else 1.0]).to(kind)
    rewrite(folder, weights)
    with pytest.raises(ValueError, match=r"not finite numbers of 16 to 64 bits: rpn\.head\.bias0"):
        load_model(folder)


def test_a_config_nested_without_end_is_refused_by_name(folder: Path) -> None:
    (folder / "config.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"config\.json: not JSON"):
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
