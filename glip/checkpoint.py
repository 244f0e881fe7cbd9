"""Save and load: a model folder of our own, or a published GLIP checkpoint by its own key names.

In: a folder (model.safetensors, config.json, tokenizer.json), a published `.pth` or `.safetensors` file, or the name of
a shipped model. Out: the model ready to run, its tokenizer, its config and a digest of all that was read.
Files come from outside: pickles are read with weights_only, and keys and shapes are compared before memory is taken.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from glip.config import GLIPConfig
from glip.model import GLIP
from glip.tokens import PromptTokenizer, load_tokenizer

FORMAT = "glip-engine-model/1"
WEIGHTS_FILE, CONFIG_FILE, TOKENIZER_FILE = "model.safetensors", "config.json", "tokenizer.json"
SHIPPED = {"nano": Path(__file__).parent / "pretrained" / "nano"}

_MAX_CONFIG_BYTES = 2**20
_LISTED_KEYS = 5
# In published files, but not in this model: constants that are recomputed, the pooler, and `cls_logits`, which was
# never trained and never influences a result.
_IGNORED = (
    ".relative_position_index",
    ".cell_anchors.",
    ".embeddings.position_ids",
    ".embeddings.token_type_ids",
    ".model.pooler.",
    "rpn.head.cls_logits.",
)


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode and what belongs to it.

    digest: sha256 over weights, config and tokenizer; equal digests mean equal answers.
    metadata: what save_model was given; empty for published files.
    """

    model: GLIP
    tokenizer: PromptTokenizer
    config: GLIPConfig
    digest: str
    metadata: dict[str, Any]


def save_model(
    folder: Path | str,
    model: GLIP,
    tokenizer: PromptTokenizer,
    metadata: dict[str, Any],
    *,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write a model folder and return it; a folder of that name is replaced as a whole, never half.

    metadata: JSON values, kept for the record. dtype: of the stored weights; loading always gives float32.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.draft-{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        weights = {key: value.detach().to("cpu", dtype).contiguous() for key, value in model.state_dict().items()}
        save_file(weights, draft / WEIGHTS_FILE, metadata={"format": "pt"})
        (draft / TOKENIZER_FILE).write_text(tokenizer.to_json(), encoding="utf-8")
        description = {
            "format": FORMAT,
            "config": model.config.to_dict(),
            "metadata": metadata,
            "sha256": {name: _file_sha256(draft / name) for name in (WEIGHTS_FILE, TOKENIZER_FILE)},
        }
        (draft / CONFIG_FILE).write_text(json.dumps(description, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        _move_into_place(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def load_model(
    name_or_path: Path | str, device: torch.device | str = "cpu", *, tokenizer: Path | str | None = None
) -> LoadedModel:
    """Load a shipped model by name, a model folder, or a published `.pth` / `.safetensors` file.

    tokenizer: for a published file, the vocab.txt or tokenizer.json of bert-base-uncased; by default looked for
    beside the file. Ignored for folders, which have their own.

    Raises: FileNotFoundError for what is not there; ValueError for what is damaged, of another model, or not weights.
    """
    path = SHIPPED.get(str(name_or_path), Path(name_or_path))
    if path.is_dir():
        return _load_folder(path, device)
    if path.is_file():
        return _load_published(path, device, Path(tokenizer) if tokenizer is not None else path.parent)
    raise FileNotFoundError(
        f"{name_or_path}: no such model; wanted a model folder, a published .pth or .safetensors file, "
        f"or one of the shipped names {sorted(SHIPPED)}"
    )


def rename_published(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Published entries under our keys: without the `module.` of distributed training and what this model lacks."""
    prefix = "module." if all(key.startswith("module.") for key in weights) else ""
    renamed = {key.removeprefix(prefix): value for key, value in weights.items()}
    return {key: value for key, value in renamed.items() if not any(part in key for part in _IGNORED)}


def _load_folder(folder: Path, device: torch.device | str) -> LoadedModel:
    description = _read_description(folder)
    for name, wanted in description["sha256"].items():
        _check_digest(folder / name, wanted)
    config = GLIPConfig.from_dict(description["config"])
    tokenizer = load_tokenizer(folder / TOKENIZER_FILE)
    _check_vocabulary(tokenizer, config, folder)
    path = folder / WEIGHTS_FILE
    _check_shapes(_safetensors_shapes(path), config, path)
    model = _build(config, load_file(path), path, device)
    identity = {"config": config.to_dict(), "sha256": description["sha256"]}
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return LoadedModel(model, tokenizer, config, digest, description["metadata"])


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    missing = [name for name in (CONFIG_FILE, WEIGHTS_FILE, TOKENIZER_FILE) if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder}: no model folder, {missing} missing")
    if path.stat().st_size > _MAX_CONFIG_BYTES:
        raise ValueError(f"{path}: larger than {_MAX_CONFIG_BYTES >> 20} MiB, this is no model config")
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error}); the file is damaged, copy the model again") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        found = description.get("format") if isinstance(description, dict) else type(description).__name__
        raise ValueError(f"{path}: wanted format {FORMAT!r}, found {found!r}")
    digests = description.get("sha256")
    if not isinstance(digests, dict) or set(digests) != {WEIGHTS_FILE, TOKENIZER_FILE}:
        raise ValueError(f"{path}: field sha256 must name {WEIGHTS_FILE} and {TOKENIZER_FILE}")
    for field in ("config", "metadata"):
        if not isinstance(description.get(field), dict):
            raise ValueError(f"{path}: field {field} must be an object")
    return description


def _load_published(path: Path, device: torch.device | str, tokenizer_path: Path) -> LoadedModel:
    weights = rename_published(_read_weights(path))
    config = _published_config(weights, path)
    _check_shapes({key: tuple(value.shape) for key, value in weights.items()}, config, path)
    try:
        tokenizer = load_tokenizer(tokenizer_path)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path}: published checkpoints come without a vocabulary; put the vocab.txt of bert-base-uncased beside "
            f"the file or pass tokenizer= ({error})"
        ) from error
    _check_vocabulary(tokenizer, config, path)
    identity = f"{_file_sha256(path)} {hashlib.sha256(tokenizer.to_json().encode()).hexdigest()}"
    model = _build(config, weights, path, device)
    return LoadedModel(model, tokenizer, config, hashlib.sha256(identity.encode()).hexdigest(), {})


def _read_weights(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        _safetensors_shapes(path)
        weights: dict[str, Tensor] = load_file(path)
        return weights
    try:
        with warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile or damaged pickle can fail in any way; every one of them means the same
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path}: not a readable file of plain weights, or damaged ({reason})") from error
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        content = content["model"]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise ValueError(f"{path}: wanted a dictionary of tensors, or one under the key 'model'")
    return {str(key): value for key, value in content.items()}


def _published_config(weights: dict[str, Tensor], path: Path) -> GLIPConfig:
    key = "backbone.body.patch_embed.proj.weight"
    width = weights[key].shape[0] if key in weights and weights[key].dim() == 4 else None
    for config in (GLIPConfig.tiny(), GLIPConfig.large()):
        if config.swin_embed_dim == width:
            return config
    raise ValueError(
        f"{path}: {key} has {width} channels; published models are GLIP-T (96) and GLIP-L (192). "
        "A model of another size loads from its folder, which holds its config"
    )


def _safetensors_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file, or damaged ({error})") from error


def _check_shapes(found: dict[str, tuple[int, ...]], config: GLIPConfig, path: Path) -> None:
    """Compare keys and shapes with the model that the config describes, without taking memory for it."""
    with torch.device("meta"):
        wanted = {key: tuple(value.shape) for key, value in GLIP(config).state_dict().items()}
    problems = {
        "missing": sorted(set(wanted) - set(found)),
        "unknown": sorted(set(found) - set(wanted)),
        "of another shape": [
            f"{key} {found[key]} instead of {wanted[key]}"
            for key in sorted(set(wanted) & set(found))
            if found[key] != wanted[key]
        ],
    }
    lines = [
        f"{len(keys)} {kind}: {', '.join(keys[:_LISTED_KEYS])}{', ...' if len(keys) > _LISTED_KEYS else ''}"
        for kind, keys in problems.items()
        if keys
    ]
    if lines:
        raise ValueError(f"{path}: not the weights of a {config.name!r} model; entries {'; '.join(lines)}")


def _check_vocabulary(tokenizer: PromptTokenizer, config: GLIPConfig, path: Path) -> None:
    if tokenizer.vocabulary_size > config.vocabulary_size:
        raise ValueError(
            f"{path}: the tokenizer has {tokenizer.vocabulary_size} ids, the model embeddings for "
            f"{config.vocabulary_size}; they do not belong together"
        )


def _build(config: GLIPConfig, weights: dict[str, Tensor], path: Path, device: torch.device | str) -> GLIP:
    damaged = [key for key, value in weights.items() if not (value.is_floating_point() and value.isfinite().all())]
    if damaged:
        raise ValueError(f"{path}: {len(damaged)} entries are not finite numbers: {', '.join(damaged[:_LISTED_KEYS])}")
    # Fresh weights are drawn and thrown away; loading must not move the caller's random state.
    with torch.random.fork_rng(devices=[]):
        model = GLIP(config)
    model.load_state_dict(weights)
    return model.to(device).eval()


def _check_digest(path: Path, wanted: object) -> None:
    found = _file_sha256(path)
    if found != wanted:
        raise ValueError(f"{path}: sha256 is {found}, config.json says {wanted}; damaged, copy the model again")


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _move_into_place(draft: Path, folder: Path) -> None:
    """Swap the finished draft for whatever has its name."""
    old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    draft.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
