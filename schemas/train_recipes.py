"""How a student is trained: the mix, the optimiser, the run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from schemas.class_prompts import ClassPrompts
from schemas.evaluate_recipes import MetricName
from schemas.label_recipes import SelectionChoice
from schemas.recipe_files import Recipe

Synonyms = Literal["rules", "wordnet"]
TuneMode = Literal["full", "linear-probe", "prompt", "lora"]
RANDOM = "random:"
RANDOM_SIZES = ("nano", "tiny", "large")
Pixels = Annotated[int, Field(gt=0)]


class MixEntry(Recipe):
    """One dataset of the mix."""

    dataset: str
    """Folder of a dataset in this project's format, human or pseudo."""
    weight: float = Field(default=1.0, gt=0)
    """Share of the samples drawn, relative to the other entries."""
    copies: float | None = Field(default=None, gt=0)
    """How often each of its samples is seen in an epoch of the mix. Replaces ``weight``, in all entries or in none."""
    samples: int | None = Field(default=None, gt=0)
    """Number of samples that ``train --plan`` assumes if the dataset is not there. Training counts them itself."""
    selection: SelectionChoice | None = None
    """Selection for a pseudo dataset. By default its card's own. No selection is applied to human boxes."""
    prompts: ClassPrompts = {}
    """Knowledge prompts of a detection dataset, by class: what to ask instead of the class's name (see
    ``EvaluateRecipe.prompts``)."""


class MixSampling(Recipe):
    """How often the samples of a mix are seen, beyond the weights of its entries."""

    temperature: float | None = Field(default=None, gt=0)
    """Makes shares proportional to ``weight * samples ** (1 / temperature)``: 1 goes by size, a large value by weight
    alone. Without it, shares are the weights, whatever the sizes."""
    repeat_threshold: float | None = Field(default=None, gt=0, le=1)
    """Repeat factors (LVIS, Gupta et al. 2019, appendix B.1): a sample whose rarest phrase is in a share f of the
    mix's pictures is seen sqrt(repeat_threshold / f) times as often as others, in steps of a quarter, never less."""
    repeat_by: Literal["head", "phrase"] = "head"
    """Whether to count phrases by their head lemma or by their text."""


class OptimizerRecipe(Recipe):
    """AdamW with the GLIP recipe's groups (SPEC section 11; GLIP paper, appendix)."""

    lr: float = Field(default=1e-4, gt=0)
    """Learning rate of everything but the text encoder."""
    text_lr_factor: float = Field(default=0.1, ge=0)
    """Learning rate of the text encoder, as a share of ``lr``."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """Not applied to biases, whose learning rate is doubled."""
    clip_norm: float = Field(default=1.0, gt=0)
    """L2 norm that the whole model's gradient is clipped to."""
    warmup_steps: int = Field(default=100, ge=0)
    """Steps of linear warm-up from a thousandth of the rate."""
    schedule: Literal["step", "cosine"] = "step"
    """``step`` multiplies the rate by 0.1 at each milestone, ``cosine`` falls to a hundredth at the end."""
    milestones: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.67, 0.89)
    """Shares of the run at which ``step`` cuts the rate."""
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the exponential moving average of the weights, which is saved as the model. 0 turns it off."""


class RunEvaluation(Recipe):
    """An evaluation along a run, of the model at each checkpoint. The best is kept in ``best/``."""

    datasets: tuple[str, ...] = Field(min_length=1)
    """Folders of human datasets that are not trained on."""
    metric: MetricName = "AP50"
    """The metric that decides which model is the best, as the evaluation prints it; if several datasets have it, its
    mean."""
    limit: int | None = Field(default=None, gt=0)
    """Use only the first so many samples of each dataset."""
    min_size: int | None = Field(default=None, gt=0)
    """Short side of the pictures in pixels. By default the model's own."""
    prompts: dict[str, ClassPrompts] = {}
    """Knowledge prompts, by dataset and class (see ``EvaluateRecipe.prompts``)."""


class TrainRecipe(Recipe):
    """A training run of a student."""

    mix: tuple[MixEntry, ...] = Field(min_length=1)
    sampling: MixSampling = MixSampling()
    init: str = "nano"
    """A checkpoint to start from (``nano``, ``glip-t``, ``glip-l``, a path, ``registry:URI`` or ``registry:URI@3``), or
    random weights: ``random:nano``, ``random:tiny``, ``random:large``."""
    init_sha256: str | None = Field(default=None, pattern=r"^[0-9a-fA-F]{64}$")
    """SHA-256 that the checkpoint's weights must have. ``glip-t`` and ``glip-l`` require it."""
    tokenizer: str | None = None
    """WordPiece vocabulary (``tokenizer.json`` or ``vocab.txt``) for a random start or a published file. A model folder
    has its own."""
    image_tower: str | None = None
    """For a random start: file of a published Swin (``.pth`` or ``.safetensors``) to start the image tower from."""
    text_tower: str | None = None
    """For a random start: file of a published BERT to start the text tower from."""
    steps: int = Field(default=1000, gt=0)
    """Optimiser steps."""
    batch_size: int = Field(default=16, gt=0)
    """Images per step, over all workers."""
    tune: TuneMode = "full"
    """What to train: everything; the linear layers that give scores and boxes; a vector per word of the prompts; or
    low-rank updates of the linear layers. Every mode gives a checkpoint that opens like any other."""
    lora_rank: int = Field(default=8, gt=0)
    """Rank of the updates in mode ``lora``."""
    optimizer: OptimizerRecipe = OptimizerRecipe()
    accumulation: int = Field(default=1, gt=0)
    """Number of parts in which a worker's share of a step goes through the model, to save memory. The step stays the
    same, except that contrasts (``region_word_contrast``, ``granular_alignment``) see each part by itself."""
    gradient_checkpointing: bool = False
    """Recompute blocks in the backward pass instead of keeping their results: less memory, more time."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """What each worker holds: the whole model (``ddp``), or a share of weights, gradients and moments (``fsdp``, which
    uses Ray even with one worker). Either can resume where the other stopped."""
    min_workers: int | None = Field(default=None, gt=0)
    """With several workers: after one has died, continue with as few as this if there is no room for all."""
    max_restarts: int = Field(default=3, ge=0)
    """With several workers: how often to restart them from the last checkpoint after one has died."""
    evaluation: RunEvaluation | None = None
    """Evaluate the model at each checkpoint, and keep the best one beside the last."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """``auto`` is bf16 on a GPU and fp32 on a CPU."""
    min_sizes: tuple[Pixels, ...] | None = Field(default=None, min_length=1)
    """Short sides in pixels, drawn at random while training. By default the model's own."""
    max_size: Pixels | None = None
    """Limit of the long side in pixels. By default the model's own."""
    flip: bool = True
    """Mirror half of the pictures, except if the caption says left or right."""
    scale_jitter: tuple[Annotated[float, Field(gt=0)], float] | None = None
    """Random crop or zoom-out: draw the picture's scale from this range. Off by default."""
    color_jitter: float = Field(default=0.0, ge=0, lt=1)
    """Strength of random brightness, contrast and saturation."""
    max_negatives: int = Field(default=85, ge=0)
    """Up to so many class names of a detection dataset go into the prompt beside the true ones."""
    caption_negatives: int = Field(default=0, ge=0)
    """Up to so many captions of other pictures of the dataset go around a picture's own: things that are not there
    (GLIP's caption packing). Captions that share a head noun with the picture's own are not taken."""
    synonyms: Synonyms = "rules"
    """Source of the synonyms and kinds that are not taken as negatives: a small table of this project, or WordNet,
    whose data must be installed (``python -m nltk.downloader wordnet``)."""
    pseudo_regression: bool = True
    """Whether pseudo boxes take part in the box loss, or only in the alignment loss."""
    score_weighted: bool = False
    """Weigh the loss of a pseudo box by its score."""
    ignore_ungrounded: bool = False
    """Ignore words of a phrase without a box in a pseudo-labelled picture, instead of treating them as not there: the
    selection may have dropped what is there."""
    region_word_contrast: float = Field(default=0.0, ge=0)
    """Weight of GLIPv2's contrast of regions with the words of all pictures in the batch of all workers. 0 turns it
    off."""
    masked_language: float = Field(default=0.0, ge=0)
    """Weight of masked language modelling on captions. 0 turns it off."""
    masked_share: float = Field(default=0.15, gt=0, lt=1)
    """Share of a caption's tokens to mask, if masked language modelling is on."""
    granular_alignment: float = Field(default=0.0, ge=0)
    """Weight of X-VLM's losses (objects, regions and whole pictures against texts of their own: contrast, matching, box
    from text). 0 turns them off. The contrast runs over the batch of all workers; each worker draws the wrong pairs for
    the matching from its own share, as the authors do."""
    granular_concepts: int = Field(default=6, ge=1)
    """At most so many boxes of a picture take part in these losses, beside the whole picture."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of all that is random: the order of the samples, how they are seen, dropout, fresh weights."""
    checkpoint_every: int = Field(default=500, gt=0)
    """Steps between checkpoints to resume from."""
    log_every: int = Field(default=10, gt=0)
    """Steps between lines of the log."""
    loader_threads: int = Field(default=2, ge=0)
    """Threads that decode and augment ahead of the model. 0 does it in the training loop. Never changes the result."""

    @field_validator("scale_jitter")
    @classmethod
    def _is_a_range(cls, scales: tuple[float, float] | None) -> tuple[float, float] | None:
        if scales is not None and scales[0] > scales[1]:
            raise ValueError(f"a range goes from its smaller end up, not from {scales[0]} to {scales[1]}")
        return scales

    @model_validator(mode="after")
    def _start_is_random_or_a_checkpoint(self) -> TrainRecipe:
        is_random = self.init.startswith(RANDOM)
        if is_random and self.init.removeprefix(RANDOM) not in RANDOM_SIZES:
            raise ValueError(
                f"init {self.init!r}: a random start is {' or '.join(RANDOM + one for one in RANDOM_SIZES)}"
            )
        of_the_other = ("init_sha256",) if is_random else ("image_tower", "text_tower")
        given = [name for name in of_the_other if getattr(self, name) is not None]
        if given:
            kind = "a checkpoint" if is_random else "a random start"
            raise ValueError(f"{', '.join(given)}: for {kind}; init is {self.init!r}")
        return self
