"""Published files: their keys, their sizes, and what is said of what they hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from glip.checkpoint import load_model
from glip.fitting import check_shapes
from glip.hub import HubFile
from glip.model import GLIP
from glip.published import PUBLISHED, PublishedModel
from glip.published_weights import rename_published
from glip.tokens import SPECIAL_TOKENS, PromptTokenizer

EXTRAS = {
    "backbone.body.layers.0.blocks.0.attn.relative_position_index": torch.zeros(16, 16, dtype=torch.long),
    "rpn.anchor_generator.cell_anchors.0": torch.zeros(1, 4),
    "rpn.head.cls_logits.weight": torch.zeros(80, 16, 1, 1),
    "language_backbone.body.model.embeddings.position_ids": torch.zeros(1, 64, dtype=torch.long),
    "language_backbone.body.model.pooler.dense.weight": torch.zeros(32, 32),
}


def published_form(model: GLIP) -> dict[str, torch.Tensor]:
    """The state dict as the published files hold it."""
    return {f"module.{key}": value for key, value in (model.state_dict() | EXTRAS).items()}


@pytest.fixture
def small_is_published(exact_model: GLIP, monkeypatch: pytest.MonkeyPatch) -> GLIP:
    """GLIP-T itself takes a gigabyte; the way through the file is the same for a small model in the table."""
    file = HubFile(repository="someone/models", name="small.pth", revision=None, sha256=None, max_bytes=10**9)
    monkeypatch.setitem(PUBLISHED, "glip-small", PublishedModel(exact_model.config, file))
    return exact_model


@pytest.fixture
def small_file(tmp_path: Path, small_is_published: GLIP, tokenizer: PromptTokenizer) -> Path:
    """A `.pth` as the released ones are, with its vocabulary beside it."""
    optimizer = {"state": {0: {"exp_avg": torch.zeros(3), "exp_avg_sq": torch.zeros(3)}}}
    content = {"model": published_form(small_is_published), "optimizer": optimizer, "scheduler": {"last_epoch": 3}}
    torch.save(content, tmp_path / "small.pth")
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_json())
    return tmp_path / "small.pth"


def test_published_keys_lose_their_prefix_and_what_this_model_lacks(small_model: GLIP) -> None:
    renamed = rename_published(published_form(small_model))
    assert set(renamed) == set(small_model.state_dict())


def test_a_published_file_loads_by_its_own_keys_and_tells_what_it_held(
    small_file: Path, small_is_published: GLIP
) -> None:
    loaded = load_model(small_file)
    wanted = small_is_published.state_dict()
    assert loaded.config == small_is_published.config
    assert all(torch.equal(value, loaded.model.state_dict()[key]) for key, value in wanted.items())
    assert loaded.metadata["entries"] == len(wanted) + len(EXTRAS)
    assert loaded.metadata["left_out"] == sorted(EXTRAS)
    assert loaded.metadata["others"] == {"optimizer": 2, "scheduler": 0}


def test_the_same_weights_as_safetensors_give_the_same_model(small_file: Path, small_is_published: GLIP) -> None:
    path = small_file.with_suffix(".safetensors")
    save_file(small_is_published.state_dict(), path)
    loaded = load_model(path)
    assert loaded.metadata["left_out"] == []
    assert all(
        torch.equal(value, loaded.model.state_dict()[key]) for key, value in small_is_published.state_dict().items()
    )


def test_without_a_vocabulary_the_error_says_where_to_put_it(small_file: Path) -> None:
    (small_file.parent / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"put the vocab\.txt of bert-base-uncased beside .*small\.pth"):
        load_model(small_file)


def test_a_vocabulary_of_another_size_is_refused(small_file: Path, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(SPECIAL_TOKENS), encoding="utf-8")
    with pytest.raises(ValueError, match="the tokenizer has 5 ids"):
        load_model(small_file, tokenizer=tmp_path / "vocab.txt")


def test_a_digest_that_does_not_fit_is_refused(small_file: Path) -> None:
    with pytest.raises(ValueError, match="wanted was 0000"):
        load_model(small_file, sha256="0" * 64)


def test_a_published_file_of_another_size_is_refused(tmp_path: Path, small_model: GLIP) -> None:
    torch.save({"model": published_form(small_model)}, tmp_path / "small.pth")
    with pytest.raises(ValueError, match=r"published models are glip-t \(96\), glip-l \(192\)"):
        load_model(tmp_path / "small.pth")


@pytest.mark.data
@pytest.mark.parametrize(("name", "listing"), [("glip-t", "keys_glip_t.json"), ("glip-l", "keys_glip_l.json")])
def test_every_key_of_the_reference_has_its_place(name: str, listing: str, fixtures_folder: Path) -> None:
    """Missing, unknown and misshaped entries would be listed; the reference's own state has none."""
    content = json.loads((fixtures_folder / listing).read_text())
    shapes = {key: shape for key, (_, shape) in (content["keys"] | content["legacy_optional_keys"]).items()}
    state = {f"module.{key}": torch.empty(shape, device="meta") for key, shape in shapes.items()}
    renamed = rename_published(state)
    check_shapes({key: tuple(value.shape) for key, value in renamed.items()}, PUBLISHED[name].config, Path(listing))
    assert renamed.keys() < shapes.keys()
