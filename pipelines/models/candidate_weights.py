"""The weights of a training run that the gate judges: moving average, last step, or halfway to the initial model.

In: a finished run and the kind. Out: a model folder beside the run's own. ``ema`` is what training saves; ``raw`` are
the weights of the last step; ``averaged`` are halfway between the moving average and the checkpoint that the run began
from (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022), which forgets less. The recipe names one kind:
choosing the best of several on the data that decides would promote by chance.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glip.checkpoint import load_model, save_model
from glip.model_folder import read_description
from pipelines.models.checkpoints import local_checkpoint
from schemas.recipes import CandidateWeights
from schemas.train_recipes import RANDOM
from student.checkpoint import raw_weights
from student.tuning import OFFSETS, plain_weights


def candidate_model(
    run: Path,
    model: str,
    kind: CandidateWeights,
    init: str,
    *,
    sha256: str | None = None,
    tokenizer: str | None = None,
) -> str:
    """The folder of the candidate of the run in ``run``, made if it does not exist; ``model`` is the run's own folder.
    ``sha256`` and ``tokenizer`` belong to the ``init`` that the run began from, if that is a published file.

    ValueError where the run left no raw weights, or began from a model of another shape or from random weights.
    """
    check_candidate(kind, init)
    if kind == "ema":
        return model
    folder = run / kind
    made_from = str(read_description(Path(model))["sha256"])
    if _is_made_from(folder, made_from):
        return str(folder)
    loaded = load_model(model)
    if kind == "raw":
        weights = plain_weights(raw_weights(run))
    else:
        before = load_model(local_checkpoint(init), sha256=sha256, tokenizer=tokenizer)
        weights = _halfway(loaded.model.state_dict(), before.model.state_dict(), init)
    loaded.model.load_state_dict(weights)
    save_model(folder, loaded.model, loaded.tokenizer, loaded.metadata | {"weights": kind, "made_from": made_from})
    return str(folder)


def _is_made_from(folder: Path, made_from: str) -> bool:
    try:
        metadata: dict[str, Any] = read_description(folder)["metadata"]
    except (FileNotFoundError, ValueError):
        return False
    return metadata.get("made_from") == made_from


def check_candidate(kind: CandidateWeights, init: str) -> None:
    """Check, before a run begins, that it can leave this kind of candidate; ValueError where it could not."""
    if kind == "averaged" and init.startswith(RANDOM):
        raise ValueError(f"candidate `averaged` is a mean with the checkpoint that training began from, not {init!r}")


def _halfway(weights: dict[str, Tensor], before: dict[str, Tensor], init: str) -> dict[str, Tensor]:
    if OFFSETS in weights and OFFSETS not in before:  # added by `tune: prompt`; they begin from 0
        before = before | {OFFSETS: torch.zeros_like(weights[OFFSETS])}
    shapes = [{name: value.shape for name, value in state.items()} for state in (weights, before)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"candidate `averaged`: {init} is a model of another shape than the student")
    return {
        name: value.lerp(before[name], 0.5) if value.is_floating_point() else value for name, value in weights.items()
    }
