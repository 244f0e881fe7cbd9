"""Weight files from outside: `.pth` or `.safetensors` in, named tensors out, bounded and without running what is in it.

A `.pth` is a zip archive with a pickle: sizes are compared before anything is unpickled, the pickle is read with
weights_only, which knows tensors and plain containers and nothing else, and there is no second way. NumPy's numbers,
which GLIP's fine-tuning keeps beside the weights (its best AP), are passed over. Tensors are mapped from the file, so
that optimiser state beside the weights costs no memory.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import safe_globals

from glip.published import MAX_FILE_BYTES

MAX_TENSORS = 50_000
MAX_PICKLE_BYTES = 64 * 2**20

_NUMPY_NUMBER = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype")  # NumPy 1, 2, both


@dataclass(frozen=True)
class WeightFile:
    """A file's content: tensors, the model's state under the file's own keys; and others, what else the file holds,
    such as `optimizer`, with the number of tensors in each."""

    tensors: dict[str, Tensor]
    others: dict[str, int]


def read_weights(path: Path) -> WeightFile:
    """Read a `.safetensors` file, or a `.pth` with a dictionary of tensors, alone or under the key `model`.

    Raises: ValueError for a file that is too large, damaged, or holds anything but plain weights.
    """
    _check_size(path)
    if path.suffix == ".safetensors":
        safetensors_shapes(path)
        return WeightFile(load_file(path), {})
    _check_archive(path)
    return _split_state(_unpickle(path), path)


def safetensors_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Keys and shapes from the header; ValueError where it is none, or has too many entries."""
    _check_size(path)
    try:
        with safe_open(path, framework="pt") as file:
            keys = list(file.keys())
            _check_count(len(keys), path)
            return {key: tuple(file.get_slice(key).get_shape()) for key in keys}
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file, or damaged ({error})") from error


class _NotRead:
    """What a pickle makes in the place of a NumPy number: nothing of NumPy runs, and what belongs to it is dropped."""

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def _check_size(path: Path) -> None:
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise ValueError(f"{path}: {size >> 30} GiB, at most {MAX_FILE_BYTES >> 30} GiB of weights are read")


def _check_count(count: int, path: Path) -> None:
    if count > MAX_TENSORS:
        raise ValueError(f"{path}: {count} tensors, at most {MAX_TENSORS} are read")


def _check_archive(path: Path) -> None:
    """Refuse what is no zip of PyTorch's kind, or would unfold to more than it is: PyTorch stores, never compresses."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise ValueError(
            f"{path}: not a checkpoint as PyTorch has written them since 1.6, or damaged ({error}); download it again"
        ) from error
    _check_count(len(entries), path)
    unfolded = sum(entry.file_size for entry in entries)
    if unfolded > path.stat().st_size or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError(f"{path}: a compressed archive, which would unfold to {unfolded} bytes; PyTorch writes none")
    pickles = [entry.file_size for entry in entries if entry.filename.endswith(".pkl")]
    if max(pickles, default=0) > MAX_PICKLE_BYTES:
        raise ValueError(f"{path}: its pickle has {max(pickles)} bytes, at most {MAX_PICKLE_BYTES} are read")


def _unpickle(path: Path) -> object:
    try:
        stand_ins = safe_globals([(_NotRead, name) for name in _NUMPY_NUMBER])
        with warnings.catch_warnings(action="ignore"), stand_ins:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # a hostile or damaged pickle can fail in any way; every one of them means the same
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if foreign:
            reason = f"it asks for {foreign[1]}, which is not loaded from a file"
        raise ValueError(f"{path}: not a readable file of plain weights, or damaged ({reason})") from error


def _split_state(content: object, path: Path) -> WeightFile:
    state, others = content, {}
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        state = content["model"]
        others = {str(key): _count_tensors(value) for key, value in content.items() if key != "model"}
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path}: wanted a dictionary of tensors, or one under the key 'model'")
    return WeightFile({str(key): value for key, value in state.items()}, others)


def _count_tensors(part: object) -> int:
    """Tensors in nested containers; each container is looked into once, since a hostile one may hold itself."""
    waiting, seen, count = [part], set(), 0
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            count += 1
        elif isinstance(value, (dict, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            waiting.extend(value.values() if isinstance(value, dict) else value)
    return count
