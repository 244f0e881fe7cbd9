"""A Hugging Face checkpoint as a folder of files that are safe to open, and the digest of what is in it.

In: a folder, or a name on the hub with the commit it is pinned to. Out: a folder with config.json, the rules for
pictures, model.safetensors and a tokenizer. Nothing in it is run: no pickled weights, no remote code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from glip.fitting import first_of
from glip.hub import file_sha256
from glip.model_folder import FORMAT, read_json
from teacher.picture_rules import PREPROCESSOR, PROCESSOR, has_picture_rules

CONFIG, WEIGHTS = "config.json", "model.safetensors"
SHARDED = "model.safetensors.index.json"
TOKENIZERS = (("tokenizer.json",), ("vocab.txt",), ("vocab.json", "merges.txt"))  # any of these: BERT's, CLIP's
# What is fetched, and what the digest is of: all that transformers reads to open a model, its tokenizer and its sizes.
TOKENIZER_PARTS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
MAX_NUMBER, MAX_LAYERS = 1_000_000, 256  # no published model comes near these
PATTERNS = ("*.safetensors", SHARDED, CONFIG, PREPROCESSOR, PROCESSOR, *chain(*TOKENIZERS), *TOKENIZER_PARTS)


def checkpoint_folder(checkpoint: str, revision: str | None) -> Path:
    """The folder of a checkpoint; one named on the hub is fetched into its cache, if it is not there already.

    FileNotFoundError or ValueError say which file to put where.
    """
    folder = Path(checkpoint)
    if not folder.is_dir():
        folder = _fetched(checkpoint, revision)
    missing = [] if (folder / CONFIG).is_file() else [CONFIG]
    if not has_picture_rules(folder):
        missing.append(PREPROCESSOR)
    if not any((folder / name).is_file() for name in (WEIGHTS, SHARDED)):
        missing.append(WEIGHTS)
    if not any(all((folder / name).is_file() for name in names) for names in TOKENIZERS):
        missing.append(f"a tokenizer ({', or '.join(' with '.join(names) for names in TOKENIZERS)})")
    if missing:
        raise FileNotFoundError(
            f"teacher.checkpoint: {checkpoint} lacks {', '.join(missing)}; {_what_to_do(folder, missing)}"
        )
    return folder


def _what_to_do(folder: Path, missing: Sequence[str]) -> str:
    if CONFIG not in missing and read_json(folder / CONFIG).get("format") == FORMAT:
        return "it is a model folder of GLIP: teacher.grounder is glip, which it is where nothing is said"
    if WEIGHTS in missing:
        return (
            "pickled weights (.bin, .pth) are not read: save the model again with save_pretrained, which writes "
            "safetensors"
        )
    return "bring it from where the model was published or saved"


def _fetched(checkpoint: str, revision: str | None) -> Path:
    if checkpoint.count("/") != 1 or checkpoint.startswith((".", "/", "~")):
        raise FileNotFoundError(
            f"teacher.checkpoint: {checkpoint!r} is neither a folder nor a name on the hub; give a checkpoint's "
            "folder, or a name such as IDEA-Research/grounding-dino-tiny with teacher.revision"
        )
    if revision is None:
        raise ValueError(
            f"teacher.checkpoint: {checkpoint!r} is a name on the hub and needs teacher.revision, the commit that is "
            "meant (40 hexadecimal digits, from the history of its page): the same recipe is then always the same model"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(checkpoint, revision=revision, allow_patterns=list(PATTERNS)))
    except (OSError, ValueError) as error:  # all errors of the hub and of the network are of these
        raise FileNotFoundError(
            f"teacher.checkpoint: {checkpoint} at {revision} is not in the cache and could not be fetched "
            f"({type(error).__name__}). On a machine with network run `hf download {checkpoint} --revision {revision} "
            f"--local-dir FOLDER`, bring FOLDER here with {CONFIG}, {PREPROCESSOR}, {WEIGHTS} and its tokenizer files, "
            "and give its path as teacher.checkpoint"
        ) from error


def load_weights(model_type: Any, folder: Path, wanted_type: str, device: torch.device) -> Any:
    """The model in evaluation mode, float32, from safetensors alone.

    ValueError where the checkpoint is of another model than ``wanted_type`` (``model_type`` of config.json), where its
    weights are not whole, which transformers would fill up with random numbers, or where one is not finite: such a
    model finds nothing, in any picture.
    """
    config = read_json(folder / CONFIG)
    _check_numbers(config, folder / CONFIG)
    found = config.get("model_type")
    if found != wanted_type:
        raise ValueError(f"{folder / CONFIG}: wanted a {wanted_type} checkpoint, found model_type {found!r}")
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        model, report = model_type.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told below, by name
        )
    except Exception as error:  # a config from outside makes transformers raise anything
        raise ValueError(
            f"{folder}: its model cannot be made of its {CONFIG} and weights: {_in_a_line(error)}"
        ) from error
    wrong = {name: sorted(map(str, keys))[:5] for name, keys in report.items() if keys and name.endswith("_keys")}
    if wrong:
        raise ValueError(f"{folder}: the weights are not those of its {CONFIG}: {wrong}")
    damaged = [name for name, value in model.named_parameters() if not value.isfinite().all()]
    if damaged:
        raise ValueError(f"{folder}: {len(damaged)} of its weights are not finite numbers: {first_of(damaged)}")
    return model.eval().float().to(device)


def load_tokenizer(tokenizer_type: Any, folder: Path) -> Any:
    """The folder's tokenizer. ValueError where it cannot be read."""
    try:
        return tokenizer_type.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # a damaged vocabulary makes tokenizers raise anything
        raise ValueError(f"{folder}: its tokenizer cannot be read: {_in_a_line(error)}") from error


def _in_a_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


def _check_numbers(value: Any, path: Path, name: str = "") -> None:
    """ValueError where a whole number of the description is larger than any model's: transformers allocates what it
    counts before the weights are compared with it."""
    if isinstance(value, dict):
        for key, one in value.items():
            _check_numbers(one, path, f"{name}.{key}".lstrip("."))
    elif isinstance(value, list):
        for one in value:
            _check_numbers(one, path, name)
    elif isinstance(value, int):
        limit = MAX_LAYERS if "layers" in name or "depth" in name else MAX_NUMBER
        if abs(value) > limit:
            raise ValueError(f"{path}: {name} is {value}, at most {limit} is taken")


def folder_digest(folder: Path, sizes: dict[str, Any]) -> str:
    """sha256 over weights, configuration and vocabulary of the folder, and over ``sizes`` the recipe chose."""
    files = sorted({path for pattern in PATTERNS for path in folder.glob(pattern) if path.is_file()})
    content = {"files": {path.name: file_sha256(path) for path in files}, **sizes}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
