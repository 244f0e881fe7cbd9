"""How a student is trained: the mix, the optimiser, the run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.label_recipes import SelectionChoice
from schemas.recipe_files import Recipe


class MixEntry(Recipe):
    """One dataset of the mix."""

    dataset: str
    """Folder of a dataset of this project's format, human or pseudo."""
    weight: float = Field(default=1.0, gt=0)
    """Share of the samples drawn, relative to the other entries."""
    selection: SelectionChoice | None = None
    """Selection for a pseudo dataset; its card's own where not given. Human boxes are never selected."""


class OptimizerRecipe(Recipe):
    """AdamW with the GLIP recipe's groups (SPEC section 11; GLIP paper, appendix)."""

    lr: float = Field(default=1e-4, gt=0)
    """Rate of everything but the text encoder."""
    text_lr_factor: float = Field(default=0.1, ge=0)
    """Rate of the text encoder, as a share of ``lr``."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """Not applied to biases, whose rate is doubled."""
    clip_norm: float = Field(default=1.0, gt=0)
    """L2 norm that the whole model's gradient is clipped to."""
    warmup_steps: int = Field(default=100, ge=0)
    """Linear warm-up from a thousandth of the rate."""
    schedule: Literal["step", "cosine"] = "step"
    """``step`` multiplies the rate by 0.1 at each milestone, ``cosine`` falls to a hundredth at the end."""
    milestones: tuple[float, ...] = (0.67, 0.89)
    """Shares of the run at which ``step`` cuts the rate."""
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the exponential moving average of the weights, which is what is saved as the model; 0 turns it off."""


class TrainRecipe(Recipe):
    """A training run of a student."""

    mix: tuple[MixEntry, ...] = Field(min_length=1)
    init: str = "nano"
    """A checkpoint to start from (``nano``, a path, ``registry:URI`` or ``registry:URI@3``), or random weights:
    ``random:nano``, ``random:tiny``, ``random:large``."""
    tokenizer: str | None = None
    """WordPiece vocabulary (``tokenizer.json`` or ``vocab.txt``) for a random start; otherwise the checkpoint's own."""
    steps: int = Field(default=1000, gt=0)
    """Optimiser steps."""
    batch_size: int = Field(default=16, gt=0)
    """Images a step, over all workers."""
    optimizer: OptimizerRecipe = OptimizerRecipe()
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """``auto`` is bf16 on a GPU and fp32 on a CPU."""
    min_sizes: tuple[int, ...] | None = None
    """Short sides drawn at random while training; the model's own where not given."""
    max_size: int | None = None
    """Long side is at most this; the model's own where not given."""
    flip: bool = True
    """Mirror half of the pictures, except where the caption says left or right."""
    scale_jitter: tuple[float, float] | None = None
    """Random crop or zoom-out: the picture's scale is drawn from this range; off where not given."""
    color_jitter: float = Field(default=0.0, ge=0, lt=1)
    """Strength of random brightness, contrast and saturation."""
    max_negatives: int = Field(default=85, ge=0)
    """Class names of a detection dataset put into the prompt beside the true ones."""
    caption_negatives: int = Field(default=0, ge=0)
    """Up to so many captions of other pictures of the dataset are put around a picture's own: things that are not
    there (GLIP's caption packing). Captions with a head noun of the picture's own are not taken."""
    pseudo_regression: bool = True
    """Whether pseudo boxes take part in the box loss, or in the alignment loss alone."""
    score_weighted: bool = False
    """Weigh the loss of a pseudo box by its score."""
    seed: int = 0
    checkpoint_every: int = Field(default=500, gt=0)
    """Steps between checkpoints to resume from."""
    log_every: int = Field(default=10, gt=0)
    """Steps between lines of the log."""
    loader_threads: int = Field(default=2, ge=0)
    """Threads that decode and augment ahead of the model; 0 does it in the training loop. Never changes the result."""
