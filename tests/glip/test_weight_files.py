"""Weight files from outside: what is read, and everything that must be refused before it is unpickled."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from glip import weight_files
from glip.weight_files import read_weights

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


def test_the_models_state_is_read_and_the_optimisers_is_counted(tmp_path: Path) -> None:
    moments = {number: {"step": 3, "exp_avg": torch.zeros(2), "exp_avg_sq": torch.zeros(2)} for number in range(5)}
    content = {
        "model": STATE,
        "optimizer": {"state": moments, "param_groups": [{"lr": 1e-4, "params": [0, 1]}]},
        "scheduler": {"last_epoch": 7, "milestones": (67, 89)},
        "iteration": 3,
    }
    torch.save(content, tmp_path / "glip.pth")
    file = read_weights(tmp_path / "glip.pth")
    assert file.tensors.keys() == STATE.keys()
    assert all(torch.equal(file.tensors[key], STATE[key]) for key in STATE)
    assert file.others == {"optimizer": 10, "scheduler": 0, "iteration": 0}


@pytest.mark.parametrize("numpy_module", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
def test_numbers_of_numpy_beside_the_weights_are_passed_over(tmp_path: Path, numpy_module: bytes) -> None:
    """As GLIP's tools/finetune.py saves its best model: with the AP that was best, by NumPy 2 or 1."""
    content = {"model": STATE, "iteration": 7, "eval_result": np.float64(0.5), "scheduler": {"best": np.float64(0.5)}}
    torch.save(content, tmp_path / "new.pth")
    with zipfile.ZipFile(tmp_path / "new.pth") as new, zipfile.ZipFile(tmp_path / "model_best.pth", "w") as best:
        for entry in new.namelist():
            pickled = new.read(entry)
            assert not entry.endswith("data.pkl") or b"numpy._core.multiarray" in pickled
            best.writestr(entry, pickled.replace(b"numpy._core.multiarray", numpy_module))
    file = read_weights(tmp_path / "model_best.pth")
    assert all(torch.equal(file.tensors[key], STATE[key]) for key in STATE)
    assert file.others == {"iteration": 0, "eval_result": 0, "scheduler": 0}


def test_a_number_of_numpy_is_no_tensor(tmp_path: Path) -> None:
    torch.save({"model": STATE | {"a.bias": np.float64(0.5)}}, tmp_path / "odd.pth")
    with pytest.raises(ValueError, match="wanted a dictionary of tensors"):
        read_weights(tmp_path / "odd.pth")


def test_a_bare_state_and_safetensors_are_read_too(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "bare.pth")
    save_file(STATE, tmp_path / "bare.safetensors")
    for name in ("bare.pth", "bare.safetensors"):
        file = read_weights(tmp_path / name)
        assert all(torch.equal(file.tensors[key], STATE[key]) for key in STATE)
        assert file.others == {}


class _Attack:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch attacked",)


@pytest.mark.parametrize("where", ["model", "optimizer"])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": STATE} | {where: _Attack()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match=r"evil\.pth.*asks for (posix|nt)\.system"):
        read_weights(tmp_path / "evil.pth")
    assert not (tmp_path / "attacked").exists()


def test_a_bare_pickle_is_refused_and_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"model": _Attack()}, protocol=2))
    with pytest.raises(ValueError, match=r"evil\.pth: not a checkpoint as PyTorch has written them since 1\.6"):
        read_weights(tmp_path / "evil.pth")
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"text"])
@pytest.mark.parametrize("name", ["broken.pth", "broken.safetensors"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        read_weights(tmp_path / name)


@pytest.mark.parametrize("name", ["cut.pth", "cut.safetensors"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, share: float) -> None:
    path = tmp_path / name
    state = {"a": torch.zeros(5000)}
    torch.save(state, path) if name.endswith(".pth") else save_file(state, path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ValueError, match=name):
        read_weights(path)


def test_an_archive_that_would_unfold_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1_000_000)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in plain.namelist():
            bomb.writestr(entry, plain.read(entry))
    assert (tmp_path / "bomb.pth").stat().st_size < 20_000
    with pytest.raises(ValueError, match="compressed archive, which would unfold to 4"):
        read_weights(tmp_path / "bomb.pth")


def test_a_tensor_larger_than_its_bytes_is_refused(tmp_path: Path) -> None:
    """A pickle that asks for more than the archive holds must not read on into what lies behind."""
    torch.save({"a": torch.zeros(16)}, tmp_path / "honest.pth")
    with (
        zipfile.ZipFile(tmp_path / "honest.pth") as honest,
        zipfile.ZipFile(tmp_path / "liar.pth", "w") as liar,
    ):
        for entry in honest.namelist():
            content = honest.read(entry)
            if entry.endswith("data.pkl"):
                assert content.count(b"K\x10") == 2, "the number of elements and the shape"
                content = content.replace(b"K\x10", b"J\x00\x00\x00\x40")
            liar.writestr(entry, content)
    with pytest.raises(ValueError, match=r"liar\.pth"):
        read_weights(tmp_path / "liar.pth")


def test_sizes_and_counts_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = {f"part{number}": torch.zeros(1) for number in range(20)}
    torch.save(state, tmp_path / "many.pth")
    save_file(state, tmp_path / "many.safetensors")
    for limit, value in (("MAX_TENSORS", 10), ("MAX_FILE_BYTES", 100), ("MAX_PICKLE_BYTES", 10)):
        with monkeypatch.context() as patch:
            patch.setattr(weight_files, limit, value)
            with pytest.raises(ValueError, match="at most"):
                read_weights(tmp_path / "many.pth")
            if limit != "MAX_PICKLE_BYTES":
                with pytest.raises(ValueError, match="at most"):
                    read_weights(tmp_path / "many.safetensors")


@pytest.mark.parametrize("content", [[1, 2], {}, {"model": {}}, {"model": {"a": "text"}}, torch.zeros(2)])
def test_what_is_no_dictionary_of_tensors_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="wanted a dictionary of tensors"):
        read_weights(tmp_path / "other.pth")
