"""A checkpoint from outside into a model folder of ours: safetensors, config, tokenizer; read back and compared.

In: the name of a published model, a published file, or a model folder. Out: a folder that every command takes as a
checkpoint, and what was read and what was left out on the way.
"""

from __future__ import annotations

from pathlib import Path

import torch

from glip.checkpoint import LoadedModel, load_model, save_model
from glip.model_folder import CONFIG_FILE, FILES, WEIGHTS_FILE
from pipelines.console.terminal import visible
from pipelines.models.checkpoints import local_checkpoint
from pipelines.models.local_folders import local_folder
from schemas.reports import Document


class ConvertResult(Document):
    """What was converted. ``left_out``: entries that the model does not have. ``others``: parts of the file beside the
    model's state (its optimiser, say) with the number of tensors in each."""

    source: str
    folder: str
    model: str
    entries: int
    parameters: int
    left_out: list[str]
    others: dict[str, int]
    weights_bytes: int
    digest: str


def convert(
    source: str | Path, out: str | Path, *, tokenizer: str | Path | None = None, sha256: str | None = None
) -> ConvertResult:
    """Write the model folder ``out`` from a checkpoint, also one by its name in a registry; see
    :func:`glip.checkpoint.load_model` for what is read.

    ValueError or FileNotFoundError where the source is not a checkpoint, or ``out`` holds anything but a model;
    RuntimeError where what was written is not what was read.
    """
    folder = local_folder(out)
    _check_out(folder)
    loaded = load_model(local_checkpoint(str(source)), tokenizer=tokenizer, sha256=sha256)
    save_model(folder, loaded.model, loaded.tokenizer, loaded.metadata)
    written = load_model(folder)
    _check_equal(loaded, written, folder)
    return ConvertResult(
        source=str(source),
        folder=str(folder),
        model=loaded.config.name,
        entries=len(loaded.model.state_dict()),
        parameters=sum(parameter.numel() for parameter in loaded.model.parameters()),
        left_out=loaded.metadata.get("left_out", []),
        others=loaded.metadata.get("others", {}),
        weights_bytes=(folder / WEIGHTS_FILE).stat().st_size,
        digest=written.digest,
    )


def print_result(result: ConvertResult) -> None:
    """What was read, what was left out, and where the model is."""
    size = f"{result.entries} entries, {result.parameters} parameters"
    print(f"read      {result.source}: a {result.model!r} model, {size}")
    if result.left_out:
        first = visible(", ".join(result.left_out[:5]))
        print(f"left out  {len(result.left_out)} entries that the model does not use: {first}")
    if result.others:
        parts = (f"{name} ({tensors} tensors)" if tensors else name for name, tensors in result.others.items())
        print(f"left out  {visible(', '.join(parts))}")
    print(f"verified  every entry, the config and the tokenizer read back from {result.folder} are equal")
    print(f"{result.folder}: {result.weights_bytes / 1e6:.1f} MB, digest {result.digest[:12]}")


def _check_out(folder: Path) -> None:
    """ValueError where the folder holds anything but a model: it is replaced as a whole."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; give a new folder as --out")
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if names and (CONFIG_FILE not in names or names - set(FILES)):
        raise ValueError(f"{folder} is not empty and not a model folder; give an empty or a new folder as --out")


def _check_equal(read: LoadedModel, written: LoadedModel, folder: Path) -> None:
    before, after = read.model.state_dict(), written.model.state_dict()
    differing = [key for key in before if key not in after or not torch.equal(before[key], after[key])]
    if differing or read.config != written.config or read.tokenizer.to_json() != written.tokenizer.to_json():
        raise RuntimeError(
            f"{folder} does not hold what was read ({len(differing)} entries differ): the disk may be failing"
        )
