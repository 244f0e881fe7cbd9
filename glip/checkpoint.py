"""Save and load: a model folder of our own, or a published GLIP checkpoint.

In: a folder (model.safetensors, config.json, tokenizer.json), a published `.pth` or `.safetensors` file, or a name:
`nano` ships with the project, `glip-t` and `glip-l` are fetched from the Hugging Face hub. Out: the model ready to run,
its tokenizer, its config and a digest of all that was read.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from glip.config import GLIPConfig
from glip.fitting import build_model, check_shapes, check_vocabulary
from glip.hub import fetch, file_sha256, parse_sha256
from glip.model import GLIP
from glip.model_folder import (
    CONFIG_FILE,
    FORMAT,
    SHIPPED,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    check_files,
    check_sha256,
    description_digest,
    path_of,
    read_description,
)
from glip.published import PUBLISHED, VOCABULARY
from glip.published_weights import read_published
from glip.tokens import PromptTokenizer, load_tokenizer
from glip.weight_files import safetensors_shapes
from glip.whole_folder import written_whole


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode and what belongs to it.

    digest: sha256 over weights, config and tokenizer; equal digests mean equal answers.
    metadata: what save_model was given; of a published file what was read from it (see `glip.published_weights`).
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
    with written_whole(folder) as draft:
        weights = {key: value.detach().to("cpu", dtype).contiguous() for key, value in model.state_dict().items()}
        save_file(weights, draft / WEIGHTS_FILE, metadata={"format": "pt"})
        (draft / TOKENIZER_FILE).write_text(tokenizer.to_json(), encoding="utf-8")
        with suppress(PermissionError):  # of a file system without modes
            shutil.copymode(draft / TOKENIZER_FILE, draft / WEIGHTS_FILE)  # safetensors writes 0600 whatever the umask
        description = {
            "format": FORMAT,
            "config": model.config.to_dict(),
            "metadata": metadata,
            "sha256": {name: file_sha256(draft / name) for name in (WEIGHTS_FILE, TOKENIZER_FILE)},
        }
        (draft / CONFIG_FILE).write_text(json.dumps(description, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return folder


def load_model(
    name_or_path: Path | str,
    device: torch.device | str = "cpu",
    *,
    tokenizer: Path | str | None = None,
    sha256: str | None = None,
) -> LoadedModel:
    """Load a model by name (`nano`, `glip-t`, `glip-l`), a model folder, or a published `.pth` / `.safetensors` file.

    tokenizer: for a published model, the vocab.txt or tokenizer.json of bert-base-uncased; by default looked for
    beside the file, then on the hub. Ignored for folders, which have their own.
    sha256: what the weights must have; needed for a name whose digest this project does not know.

    Raises: FileNotFoundError for what is not there; ValueError for what is damaged, of another model, or not weights.
    """
    wanted = parse_sha256(sha256) if sha256 is not None else None
    name = str(name_or_path)
    if name in PUBLISHED:
        file = PUBLISHED[name].file
        path = fetch(file, wanted, otherwise=f"give its path in place of {name!r}")
        return _load_published(path, device, tokenizer, PUBLISHED[name].config, str(wanted or file.sha256))
    path = path_of(name_or_path)
    if path.is_dir():
        check_sha256(path / WEIGHTS_FILE, wanted, "wanted was")
        return _load_folder(path, device)
    if path.is_file():
        check_sha256(path, wanted, "wanted was")
        return _load_published(path, device, tokenizer, None, wanted or file_sha256(path))
    raise FileNotFoundError(
        f"{name_or_path}: no such model; wanted a model folder, a published .pth or .safetensors file, "
        f"a shipped name ({', '.join(SHIPPED)}) or a published name ({', '.join(PUBLISHED)})"
    )


def _load_folder(folder: Path, device: torch.device | str) -> LoadedModel:
    description = read_description(folder)
    check_files(folder, description)
    config = GLIPConfig.from_dict(description["config"])
    tokenizer = load_tokenizer(folder / TOKENIZER_FILE)
    check_vocabulary(tokenizer, config, folder)
    path = folder / WEIGHTS_FILE
    check_shapes(safetensors_shapes(path), config, path)
    model = build_model(config, load_file(path), path, device)
    return LoadedModel(model, tokenizer, config, description_digest(description), description["metadata"])


def _load_published(
    path: Path, device: torch.device | str, tokenizer_path: Path | str | None, config: GLIPConfig | None, sha256: str
) -> LoadedModel:
    read = read_published(path, config, sha256)
    tokenizer = _published_tokenizer(path, tokenizer_path)
    check_vocabulary(tokenizer, read.config, path, published=True)
    identity = f"{sha256} {hashlib.sha256(tokenizer.to_json().encode()).hexdigest()}"
    model = build_model(read.config, read.weights, path, device)
    return LoadedModel(model, tokenizer, read.config, hashlib.sha256(identity.encode()).hexdigest(), read.record)


def _published_tokenizer(path: Path, given: Path | str | None) -> PromptTokenizer:
    """The vocabulary that was given, else one beside the file, else BERT's own from the hub."""
    if given is not None:
        return load_tokenizer(given)
    if any((path.parent / name).is_file() for name in (TOKENIZER_FILE, VOCABULARY.name)):
        return load_tokenizer(path.parent)
    beside = (
        f"put the vocab.txt of bert-base-uncased beside {path}, or pass its path (--tokenizer, tokenizer in a recipe, "
        "or tokenizer=)"
    )
    return load_tokenizer(fetch(VOCABULARY, otherwise=beside))
