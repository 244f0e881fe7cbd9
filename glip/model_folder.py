"""The files of a model folder and what they say of themselves, read without the model and without torch.

In: a folder, or the name of a model that ships with the project. Out: its description (config.json), the file digests
in it checked, and the one digest that stands for the model.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from glip.config import GLIPConfig
from glip.hub import file_sha256

FORMAT = "glip-engine-model/1"
WEIGHTS_FILE, CONFIG_FILE, TOKENIZER_FILE = "model.safetensors", "config.json", "tokenizer.json"
FILES = (WEIGHTS_FILE, CONFIG_FILE, TOKENIZER_FILE)
SHIPPED = {"nano": Path(__file__).parent / "pretrained" / "nano"}

_MAX_CONFIG_BYTES = 2**20


def path_of(name_or_path: Path | str) -> Path:
    """The folder of a shipped model's name; any other path as it is."""
    return SHIPPED.get(str(name_or_path), Path(name_or_path))


def read_description(folder: Path) -> dict[str, Any]:
    """What config.json says, its fields checked: format, config, metadata and sha256 of the other files.

    Raises: FileNotFoundError where a file is missing, ValueError where it is no such description.
    """
    path = folder / CONFIG_FILE
    description = read_json(path) if path.is_file() else {}
    if "model_type" in description and "format" not in description:
        raise ValueError(
            f"{folder}: a checkpoint of transformers (model_type {description['model_type']!r:.50}), no model folder "
            "of GLIP; a teacher of another kind is named with its grounder, as in --set teacher.grounder=owlv2 --set "
            f"teacher.checkpoint={folder}"
        )
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        inside = folder / "model"  # where a training run keeps its model
        told = f"; the run's model is {inside}" if (inside / CONFIG_FILE).is_file() else ""
        raise FileNotFoundError(f"{folder}: no model folder, {', '.join(missing)} missing{told}")
    if description.get("format") != FORMAT:
        raise ValueError(f"{path}: wanted format {FORMAT!r}, found {description.get('format')!r}")
    digests = description.get("sha256")
    if not isinstance(digests, dict) or set(digests) != {WEIGHTS_FILE, TOKENIZER_FILE}:
        raise ValueError(f"{path}: field sha256 must name {WEIGHTS_FILE} and {TOKENIZER_FILE}")
    for field in ("config", "metadata"):
        if not isinstance(description.get(field), dict):
            raise ValueError(f"{path}: field {field} must be an object")
    return description


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object that describes a model, of at most 1 MiB. ValueError where the file holds none."""
    if path.stat().st_size > _MAX_CONFIG_BYTES:
        raise ValueError(f"{path}: larger than {_MAX_CONFIG_BYTES >> 20} MiB, this is not a model config")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error}); the file is damaged, copy the model again") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: wanted a JSON object, found a {type(content).__name__}")
    return content


def check_files(folder: Path, description: dict[str, Any]) -> None:
    """ValueError where a file is not the one that the description was written for."""
    for name, wanted in description["sha256"].items():
        check_sha256(folder / name, wanted, f"{CONFIG_FILE} says")


def check_sha256(path: Path, wanted: object, source: str) -> None:
    """ValueError where the file has another digest than ``wanted``, with the source of that in words before it; nothing
    is checked where that is None."""
    if wanted is None:
        return
    found = file_sha256(path)
    if found != wanted:
        raise ValueError(f"{path}: sha256 is {found}, {source} {wanted}; damaged, or not the file that was meant")


def description_digest(description: dict[str, Any]) -> str:
    """sha256 over weights, config and tokenizer; equal digests mean equal answers."""
    config = GLIPConfig.from_dict(description["config"])
    identity = {"config": config.to_dict(), "sha256": description["sha256"]}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
