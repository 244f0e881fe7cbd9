"""One step of the optimiser: losses, backward, clip, update, average of the weights.

In: a session and this worker's batch. Out: the losses and the norm of the gradient; the session's model is updated.
Losses and their normalisers: SPEC section 10.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from glip.preprocess import pad_batch
from glip.transfer import to_device
from schemas.recipes import TrainRecipe
from student.collate import Batch
from student.objectives import training_losses
from student.optimizer import rate_factor, set_rates
from student.parts import Part, parts_of_step
from student.picture_words import has_objectives
from student.session import Session

Clock = Callable[[str], AbstractContextManager[object]]
WORK = ("assignment", "to the device", "forward", "losses", "backward", "gradient clip", "optimizer", "weight average")


def no_clock(work: str) -> AbstractContextManager[object]:
    """The clock that measures nothing."""
    return nullcontext()


def train_step(session: Session, batch: Batch, step: int, clock: Clock = no_clock) -> dict[str, Tensor]:
    """Take one step of the optimiser; returns the losses and ``gradient_norm``, the norm before clipping.

    A step whose gradient is not finite leaves the weights as they were. Each kind of work runs in the context
    ``clock(name)``, with a name of :data:`WORK`.
    """
    recipe, workers = session.recipe, session.workers
    set_rates(session.optimizer, rate_factor(step, recipe.steps, recipe.optimizer))
    # Dropout, too, is a function of (seed, step, rank), so that no checkpoint needs the state of a generator.
    torch.manual_seed((recipe.seed * 1_000_003 + step) * 1_009 + workers.rank)
    session.optimizer.zero_grad(set_to_none=True)
    losses: dict[str, Tensor] = {}
    with clock("assignment"):
        parts = parts_of_step(batch, recipe, session.config, workers)
    for number, part in enumerate(parts, start=1):
        with workers.more_parts(session.model) if number < len(parts) else nullcontext():
            mine = forward_losses(session, part, clock)
            with clock("backward"):
                torch.autograd.backward(torch.stack(list(mine.values())).sum())
        losses = {name: losses.get(name, 0) + loss.detach() for name, loss in mine.items()}
    with clock("gradient clip"):
        norm = workers.whole(nn.utils.clip_grad_norm_(session.raw.parameters(), recipe.optimizer.clip_norm))
    if norm.isfinite():
        with clock("optimizer"):
            session.optimizer.step()
        with clock("weight average"):
            session.average.update(session.raw, step)
    return losses | {"gradient_norm": norm}


def forward_losses(session: Session, part: Part, clock: Clock = no_clock) -> dict[str, Tensor]:
    """The losses of one part of a step, in fp32; the forward pass runs in the recipe's precision.

    Their sum over the parts, averaged over the workers, is the loss of the step.
    """
    device, batch = session.device, part.batch
    with clock("to the device"):
        images = pad_batch(batch.images, part.shape_hw, device)
        ids_BT, mask_BT = to_device(batch.token_ids_bt, device), to_device(batch.attention_mask_bt, device)
    with clock("forward"), torch.autocast(device.type, torch.bfloat16, enabled=_is_bf16(session.recipe, device)):
        output = session.model(images, ids_BT, mask_BT, keep_features=has_objectives(session.recipe))
    with clock("losses"):
        return training_losses(session.raw, output, part, mask_BT, session.workers)


def _is_bf16(recipe: TrainRecipe, device: torch.device) -> bool:
    return recipe.precision == "bf16" or (recipe.precision == "auto" and device.type == "cuda")
