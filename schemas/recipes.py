"""What a user writes: recipes, in YAML, checked before any work starts.

A recipe file holds only what differs from the defaults below; an unknown field is refused. ``load_recipe`` reads one
and applies ``--set a.b=c`` overrides; the resolved recipe is saved beside what it made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

MAX_RECIPE_BYTES = 1_000_000
MAX_DEPTH = 50
_OPENING = (
    *(yaml.BlockMappingStartToken, yaml.BlockSequenceStartToken),
    *(yaml.FlowMappingStartToken, yaml.FlowSequenceStartToken),
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)

DEFAULT_DISTANCE = 6
"""Bits of the coarse 64 in which the perceptual hashes of two files of one picture may differ, and twice as many of the
fine 64: of what ``benchmarks/near_duplicates.py`` encodes anew or resizes 99 % is found, of other photos none."""

SelectionChoice = str | dict[str, Any]
"""A preset's name, or its numbers: ``glip``; ``{min_score: 0.4}``; ``{preset: grit, min_score: 0.7}``;
``{preset: calibrated, calibration: PATH, precision: 0.7}``. Checked where it is resolved (``engine.selection``)."""


class Recipe(BaseModel):
    """Base of every recipe: frozen, keyword-only, no unknown field; the text under a field is its documentation."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


# ---------------------------------------------------------------------------------------------------------- sources


class WebDatasetSource(Recipe):
    """Captioned images as img2dataset writes them: tar files of ``KEY.jpg`` + ``KEY.txt`` (+ ``KEY.json``)."""

    kind: Literal["webdataset"] = "webdataset"
    uri: str
    """A folder of ``.tar`` files, one ``.tar`` file, a glob or a brace expansion (``s3://b/{00000..00099}.tar``);
    local, ``http(s)://`` or ``s3://``."""
    caption_field: str | None = None
    """Field of the ``.json`` that holds the caption. Where not given, the ``.txt``, or else the field ``caption``."""
    row_counts: Literal["auto", "scan"] = "auto"
    """``auto`` believes img2dataset's ``_stats.json`` where each tar has one; ``scan`` reads every tar's headers."""
    max_image_bytes: int = Field(default=50_000_000, gt=0)
    """A larger image member is rejected as ``image_too_large`` without being read."""

    @model_serializer(mode="wrap")
    def _without_what_is_not_used(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Defaults are left out, so that recipes from before these fields existed keep their digests."""
        fields: dict[str, Any] = serialize(self)
        unused = {"caption_field": None, "row_counts": "auto"}
        return {name: value for name, value in fields.items() if name not in unused or value != unused[name]}


class ParquetSource(Recipe):
    """Captioned images in Parquet files: the bytes themselves, as Hugging Face ``datasets`` writes them, or paths."""

    kind: Literal["parquet"] = "parquet"
    uri: str
    """A folder of ``.parquet`` files, one file, a glob or a brace expansion; local, ``http(s)://`` or ``s3://``."""
    image_column: str | None = None
    """Column of the image: bytes, a struct of ``bytes`` and ``path``, or text, which is a path. The first of ``image``,
    ``img``, ``jpg``, ``image_path``, ``file_name`` that there is, where not given."""
    caption_column: str | None = None
    """The first of ``caption``, ``text``, ``txt``, ``alt_text``, ``top_caption`` that there is, where not given."""
    key_column: str | None = None
    """Column of the sample's key; the number of the row in the whole source where not given."""
    images: str | None = None
    """Folder that paths are relative to; the one of the Parquet files where not given."""
    max_image_bytes: int = Field(default=50_000_000, gt=0)
    """A larger image is rejected as ``image_too_large``."""


class UrlsSource(Recipe):
    """Lists of url and caption; the images are downloaded inside the job."""

    kind: Literal["urls"] = "urls"
    uri: str
    """A ``.tsv``, ``.jsonl`` or ``.parquet`` file, a folder of one of these kinds, a glob or a brace expansion."""
    url_column: str | None = None
    """Name of the column; where not given, the first of ``url``, ``image_url``, ``image_link``, in any case. A TSV
    without a line of names is read by number (``"0"``); where not given, the url is the field that begins with http."""
    caption_column: str | None = None
    """Name (or number) of the column; where not given, the first of ``caption``, ``text``, ``txt``, ``alt_text``,
    ``top_caption``, in any case."""
    key_column: str | None = None
    """Column of the sample's key; the number of the row in the whole source where not given."""
    concurrency: int = Field(default=64, gt=0, le=4096)
    """Downloads of one reader at once."""
    concurrency_per_host: int = Field(default=16, gt=0)
    """Of these, from one host."""
    timeout_s: float = Field(default=20.0, gt=0)
    """For one download as a whole, so that a server which sends a byte a second ends too."""
    retries: int = Field(default=2, ge=0, le=10)
    """Further tries after a failure that may pass: no connection, a cut body, HTTP 429, 500, 502, 503, 504."""
    max_redirects: int = Field(default=5, ge=0, le=20)
    """More are a ``redirect_loop``."""
    max_image_bytes: int = Field(default=50_000_000, gt=0)
    """A larger file is left where it is: ``too_large``."""
    allow_private: bool = False
    """Whether addresses that are not of the public internet (loopback, private, link-local, cloud metadata) may be
    connected to. A list from the web must not reach into the network that the job runs in."""
    opt_out: tuple[str, ...] = ("noai", "noimageai")
    """Directives of ``X-Robots-Tag`` that are obeyed (``opted_out``); ``noindex`` and ``noimageindex`` may be added."""
    user_agent: str = Field(default="glip-engine", pattern=r"^[\x20-\x7e]{1,200}$")
    """What the job calls itself; the word before the first ``/`` is also the name it answers to in ``X-Robots-Tag``."""


class CocoSource(Recipe):
    """COCO's captions JSON and a folder of images."""

    kind: Literal["coco"] = "coco"
    uri: str
    """The JSON file, such as ``captions_train2017.json``; local, ``http(s)://`` or ``s3://``."""
    images: str
    """Folder of the images that ``file_name`` is relative to."""
    captions: Literal["each", "joined"] = "each"
    """``each`` gives one sample for every caption, ``joined`` one for every image, with its captions as sentences."""
    max_image_bytes: int = Field(default=50_000_000, gt=0)
    """A larger image is rejected as ``image_too_large``."""


class ScenesSource(Recipe):
    """Procedurally drawn pictures with captions and exact boxes: a world without downloads, licences or people."""

    kind: Literal["scenes"] = "scenes"
    count: int = Field(default=200, gt=0)
    """Number of scenes."""
    seed: int = 0
    """Another seed is another world of pictures: held-out scenes are those of a seed never trained on."""
    first_index: int = Field(default=0, ge=0)
    """Index of the first scene."""
    kinds: tuple[str, ...] | None = None
    """The kinds of thing that are drawn; all of them where not given."""
    exclude_kinds: tuple[str, ...] = ()
    """Kinds that never occur."""
    exclude_attributes: tuple[str, ...] = ()
    """Colours and textures that never occur."""
    exclude_combinations: tuple[str, ...] = ()
    """Combinations that never occur, such as ``"red car"``."""
    zipf_exponent: float = Field(default=0.8, ge=0)
    """How steeply the frequency of kinds falls with their rank; 0 draws all equally often."""


Source = Annotated[
    WebDatasetSource | ParquetSource | UrlsSource | CocoSource | ScenesSource, Field(discriminator="kind")
]


# --------------------------------------------------------------------------------------------------------- labelling


class PhrasesRecipe(Recipe):
    """How captions become noun phrases."""

    pipeline: str = "bundled"
    """``bundled``, the name of an installed spaCy pipeline, or a folder of one."""
    method: Literal["spacy", "nltk-grammar"] = "spacy"
    """Base noun chunks by dependency, or the GLIP paper's tag pattern ``NP: {<DT>?<JJ.*>*<NN.*>+}``."""
    expressions: bool = False
    """Extend each chunk to its referring expression by dependency subtree, as GRIT does."""
    max_caption_chars: int = Field(default=2000, gt=0)
    """A longer caption is rejected as ``caption_too_long``."""
    batch_size: int = Field(default=256, gt=0)
    """Captions given to spaCy at once."""


class TeacherRecipe(Recipe):
    """Which grounder answers, and how it is run."""

    grounder: str = "glip"
    """``glip``, ``grounding-dino``, ``mm-grounding-dino``, ``owlv2`` or ``ensemble``: a name of the table
    ``teacher.grounder.GROUNDERS``."""
    checkpoint: str = "nano"
    """For ``glip``: ``nano`` (shipped), ``glip-t`` or ``glip-l`` (published, fetched from the Hugging Face hub), or the
    path of a checkpoint folder or of a published file, or a registry's model: ``registry:URI`` (its current version
    when the work begins) or ``registry:URI@3``. For the others: the folder of a Hugging Face checkpoint, or its
    name on the hub with ``revision`` beside it, such as ``IDEA-Research/grounding-dino-tiny``,
    ``openmmlab-community/mm_grounding_dino_tiny_o365v1_goldg_v3det``, ``google/owlv2-base-patch16-ensemble``. Not used
    by ``ensemble``."""
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    """Commit of a checkpoint named on the hub (40 hexadecimal digits, from its page's history): a branch or tag could
    be other weights tomorrow."""
    checkpoint_sha256: str | None = Field(default=None, pattern=r"^[0-9a-fA-F]{64}$")
    """For ``glip``: SHA-256 that the file of the weights must have; ``glip-t`` and ``glip-l`` are not used without."""
    members: tuple[TeacherRecipe, ...] = ()
    """The two teachers of an ``ensemble``, with a grounder and a checkpoint each; what it runs on is its own."""
    device: str = "auto"
    """``auto`` takes a GPU where there is one; otherwise ``cpu`` or ``cuda``."""
    batch_size: int = Field(default=8, gt=0)
    """Images of one shape bucket that go through the model at once; halved by itself when memory runs out."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """``auto`` is bf16 on a GPU and fp32 on a CPU; fp32 for the Grounding DINOs, whose boxes bf16 moves."""
    threads: int = Field(default=1, gt=0)
    """CPU threads of each worker's model. Part of the recipe since it can change the last digit of a score."""
    min_size: int | None = None
    """Short side in pixels the image is resized to; the checkpoint's own where not given."""
    max_size: int | None = None
    """Long side is at most this; the checkpoint's own where not given."""

    @model_validator(mode="after")
    def _members_are_an_ensembles(self) -> TeacherRecipe:
        if self.grounder == "ensemble" and len(self.members) != 2:
            raise ValueError(
                f"an ensemble has two members, not {len(self.members)}: give each a grounder, a checkpoint"
            )
        if self.grounder != "ensemble" and self.members:
            raise ValueError(f"members are an ensemble's; the grounder is {self.grounder!r}")
        if any(member.grounder == "ensemble" for member in self.members):
            raise ValueError("a member of an ensemble is no ensemble itself")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_used(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Unused fields are left out, so that recipes from before they existed keep their digests."""
        fields: dict[str, Any] = serialize(self)
        unused = [name for name in ("revision", "checkpoint_sha256", "members") if not getattr(self, name)]
        return {name: value for name, value in fields.items() if name not in unused}


class GroundRecipe(Recipe):
    """How captioned pictures are grounded: captions to phrases, phrases to boxes."""

    phrases: PhrasesRecipe = PhrasesRecipe()
    teacher: TeacherRecipe = TeacherRecipe()
    min_score: float = Field(default=0.05, gt=0, lt=1)
    """The floor: candidates below are not stored. Low, since what is high-confidence is decided when read."""
    max_boxes_per_phrase: int = Field(default=20, gt=0)
    """At most this many candidates are stored for a phrase, the best first."""
    max_image_pixels: int = Field(default=100_000_000, gt=0)
    """A larger picture is rejected as ``image_too_many_pixels`` before it is decoded (decompression bombs)."""


class FiltersRecipe(Recipe):
    """What a labelling job leaves out before the teacher sees it, each rule with a reason of its own; all off by
    default. What boxes are kept is no filter but a selection, made when a dataset is read."""

    min_image_side: int | None = Field(default=None, gt=0)
    """The short side has at least so many pixels (``image_side_below_min``)."""
    max_image_aspect: float | None = Field(default=None, ge=1)
    """The long side is at most so many times the short one (``image_aspect_above_max``)."""
    min_caption_chars: int | None = Field(default=None, gt=0)
    """Without the white space around it (``caption_chars_below_min``). The most is ``phrases.max_caption_chars``."""
    min_caption_words: int | None = Field(default=None, gt=0)
    """Between white space (``caption_words_below_min``)."""
    max_caption_words: int | None = Field(default=None, gt=0)
    """Between white space (``caption_words_above_max``)."""
    languages: tuple[Annotated[str, Field(pattern=r"^[a-z]{2,3}$")], ...] = ()
    """Languages that captions may be in, such as ``[en]`` (ISO 639-1; ``caption_language_other``); the extra
    ``language`` identifies them."""
    min_language_probability: float = Field(default=0.003, gt=0, le=1)
    """A caption is rejected where these languages together are less probable. Low, since a few words leave it open: one
    that tells nothing gives each of 97 languages about 0.01."""
    stop_phrases: tuple[Annotated[str, Field(pattern=r"\S")], ...] = ()
    """Phrases that end in one of these are left out, whatever their case, plural or not: ``photo`` leaves out "a stock
    photo" and "Photos"; ``stock photo`` the first alone. A sample without another one is ``phrases_all_stopped``."""

    def rules(self) -> dict[str, Any]:
        """The fields that are not as by default."""
        return self.model_dump(mode="json", exclude_defaults=True)


class LabelRecipe(GroundRecipe):
    """A labelling job. Everything here decides the bytes of the shards; workers and paths of the run do not."""

    source: Source
    selection: SelectionChoice = "glip"
    """The selection that readers apply when they name none (see ``engine.selection.PRESETS``)."""
    unit_size: int = Field(default=200, gt=0)
    """Samples in a unit, which is the size of a shard and the work that is redone after a crash."""
    filters: FiltersRecipe = FiltersRecipe()
    leaks: tuple[str, ...] = ()
    """Datasets of this project's format that models are evaluated on: their pictures are rejected wherever the source
    has them, as the same file (``leak``) or as another file of the same picture (``leak_near``)."""
    max_leak_distance: int = Field(default=DEFAULT_DISTANCE, ge=0, le=12)
    """How near the perceptual hashes of a picture and of one of ``leaks`` are to count as one: bits of 64."""

    @model_serializer(mode="wrap")
    def _without_guards_that_are_off(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Left out, so that recipes from before these fields existed keep their digests."""
        fields: dict[str, Any] = serialize(self)
        unused = {"filters"} if not self.filters.rules() else set()
        unused |= set() if self.leaks else {"leaks", "max_leak_distance"}
        return {name: value for name, value in fields.items() if name not in unused}


# ---------------------------------------------------------------------------------------------------------- training


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


# -------------------------------------------------------------------------------------------------------- evaluation


EvaluationProtocol = Literal["coco", "lvis", "voc07", "voc12", "any-box", "merged-box", "referring", "pointing"]
DEFAULT_PROTOCOLS: tuple[EvaluationProtocol, ...] = ("coco", "any-box")


class EvaluateRecipe(Recipe):
    """An evaluation of one grounder on human-annotated datasets of this project's format."""

    datasets: tuple[str, ...] = Field(min_length=1)
    """Folders of human datasets: grounding ones give phrase recall, detection ones give COCO AP by default."""
    protocols: tuple[EvaluationProtocol, ...] = Field(default=DEFAULT_PROTOCOLS, min_length=1)
    """How answers are scored; each dataset by those that are for its task. Detection: ``coco`` AP, ``lvis`` (fixed AP),
    ``voc07`` and ``voc12`` (11 points, area), ``pointing``. Grounding: Recall@1/5/10 by ``any-box`` and ``merged-box``,
    ``referring`` (accuracy at IoU 0.5), ``pointing``."""
    lvis_annotations: str | None = None
    """LVIS' annotation file, which says what classes are rare, common and frequent; without it ``lvis`` gives no AP of
    the three."""
    teacher: TeacherRecipe = TeacherRecipe()
    min_score: float = Field(default=0.01, ge=0, lt=1)
    """Boxes below are not scored."""
    max_boxes: int = Field(default=100, gt=0)
    """Boxes an image that COCO AP takes, the best first."""
    chunk_classes: int = Field(default=40, gt=0)
    """Class names in one prompt of a detection dataset."""
    limit: int | None = Field(default=None, gt=0)
    """Only the first so many samples of each dataset."""
    baseline: tuple[str, ...] = ()
    """Human datasets that the best constant box per phrase head (per class) is fitted on, to be shown beside the model;
    never one that is evaluated on."""


# ------------------------------------------------------------------------------------------------------- calibration


class CalibrateRecipe(Recipe):
    """How a teacher's scores are fitted to the precision they reach on human annotations."""

    datasets: tuple[str, ...] = Field(min_length=1)
    """Folders of human grounding datasets, best ones that the teacher was not trained on. Never what pseudo-labels are
    scored by."""
    teacher: TeacherRecipe = TeacherRecipe()
    min_score: float = Field(default=0.05, gt=0, lt=1)
    """The floor of the labels that the calibration is for."""
    max_boxes_per_phrase: int = Field(default=20, gt=0)
    """As in the labels that the calibration is for."""
    precision: float = Field(default=0.7, gt=0, lt=1)
    """The target of readers that name none."""
    confidence: float = Field(default=0.9, gt=0.5, lt=1)
    """Of the one-sided bound that has to reach the target."""
    shrinkage: float = Field(default=20.0, ge=0)
    """So many pictures of all groups are added to those of each group, though never more than it has itself: groups of
    few pictures lean on the others, and what was never judged is not vouched for."""
    frequencies: tuple[str, ...] = ()
    """Datasets, such as the labels themselves, in which the phrases' heads are counted; the human ones where not
    given."""
    limit: int | None = Field(default=None, gt=0)
    """Only the first so many samples of each dataset."""
    seed: int = 0
    """Of the halving of the pictures for the check."""


# ------------------------------------------------------------------------------------------------------- generations


class PromotionRule(Recipe):
    """What the gate asks of one metric."""

    metric: str
    """A name as the evaluation prints it: ``phrase_recall@1``, ``AP``, ``AP50``, ``AP50/person``."""
    dataset: str | None = None
    """Name of the evaluation dataset that the rule looks at; every one that has the metric where not given."""
    must: Literal["improve", "not_worsen", "exceed"] = "not_worsen"
    """``improve``: the interval of the difference lies above zero; ``not_worsen``: above ``-margin``;
    ``exceed``: the candidate's value is at least ``margin``."""
    margin: float = Field(default=0.0, ge=0)


class GateRecipe(Recipe):
    """When a student becomes the next teacher: all rules must pass."""

    rules: tuple[PromotionRule, ...] = (
        PromotionRule(metric="phrase_recall@1", must="improve"),
        PromotionRule(metric="AP50", must="not_worsen", margin=0.01),
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Of the bootstrap's interval."""
    resamples: int = Field(default=2000, ge=100)
    seed: int = 0


GoldFormat = Literal["coco", "coco-phrases", "lvis", "voc", "yolo", "odvg", "mdetr", "flickr30k", "refcoco", "scenes"]
GOLD_FILES = tuple(format for format in get_args(GoldFormat) if format != "scenes")
EXPORT_FORMATS = ("coco", "coco-phrases", "odvg", "mdetr", "yolo", "voc")


class GoldSource(Recipe):
    """Human annotations to be imported into the project's format."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    """Name of the dataset's folder inside the generation."""
    format: GoldFormat
    """``coco``: detection JSON; ``coco-phrases``: captions with phrase boxes; ``scenes``: drawn, exact; the others are
    those of ``glip-engine import``."""
    path: str | None = None
    """Folder of the annotations, or their file; none for ``scenes``."""
    scenes: ScenesSource | None = None
    """The scenes, where ``format`` is ``scenes``."""

    @model_validator(mode="after")
    def _has_what_its_format_reads(self) -> GoldSource:
        wanted, other = ("scenes", "path") if self.format == "scenes" else ("path", "scenes")
        if getattr(self, wanted) is None or getattr(self, other) is not None:
            raise ValueError(f"{self.name!r} of format {self.format} takes a field `{wanted}`, and no `{other}`")
        return self


class TruthRecipe(Recipe):
    """Hidden human boxes of the labelled images: for scoring pseudo-labels only, never read by another step."""

    format: Literal["coco", "scenes"]
    """``coco``: a JSON file of boxes and phrases; ``scenes``: what a source of scenes has drawn."""
    path: str | None = None
    """The JSON file; none for ``scenes``."""


class GenerationRecipe(Recipe):
    """One turn of self-training: label, mix, train, evaluate, decide, report."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    label: LabelRecipe
    gold: tuple[GoldSource, ...] = Field(min_length=1)
    """Human datasets that the student learns from beside the pseudo-labels."""
    evaluation: tuple[GoldSource, ...] = Field(min_length=1)
    """Human datasets that decide; never trained on."""
    truth: TruthRecipe | None = None
    """Hidden boxes of the labelled images, where they exist."""
    gold_weights: dict[str, float] = {}
    """Weight of each human dataset in the mix, 1 where not given."""
    pseudo_weight: float = Field(default=1.0, gt=0)
    """Weight of the pseudo-labels in the mix."""
    selection: SelectionChoice = "glip"
    """Selection applied to the pseudo-labels when training."""
    train: dict[str, Any] = {}
    """Fields of ``TrainRecipe`` that differ from its defaults; the mix is made here."""
    evaluate: dict[str, Any] = {}
    """Fields of ``EvaluateRecipe`` that differ from its defaults; datasets and model are filled in here."""
    gate: GateRecipe = GateRecipe()
    registry: str | None = None
    """A registry, folder or ``s3://`` prefix, that the student is promoted into if the gate lets it pass. Its current
    version, where it has one, has to be the teacher: ``label.teacher.checkpoint: registry:URI``."""

    @model_validator(mode="after")
    def _names_are_unique_and_truth_is_of_the_source(self) -> GenerationRecipe:
        names = [source.name for source in (*self.gold, *self.evaluation)]
        if len(set(names)) < len(names):
            raise ValueError(f"human datasets need names of their own; these came: {', '.join(names)}")
        unknown = self.gold_weights.keys() - {source.name for source in self.gold}
        if unknown:
            raise ValueError(f"gold_weights names {sorted(unknown)}, which is not in gold")
        if self.truth is not None and (self.truth.format == "scenes") != (self.truth.path is None):
            raise ValueError("truth of format coco takes a `path`, of format scenes none")
        if self.truth is not None and self.truth.format == "scenes" and self.label.source.kind != "scenes":
            raise ValueError("truth of format scenes is what a source of scenes has drawn; label.source is none")
        return self


AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


def load_recipe(
    recipe_type: type[AnyRecipe],
    path: str | Path | None,
    overrides: tuple[str, ...] = (),
    fields: dict[str, Any] | None = None,
) -> AnyRecipe:
    """The recipe in the YAML file at ``path`` (or of ``fields``), with overrides such as ``"train.steps=100"`` applied.

    Raises ValueError in one line where the file is missing, is no mapping, has an unknown field or a bad value.
    """
    resolved = dict(fields or {}) if path is None else read_yaml(Path(path))
    for override in overrides:
        _apply_override(resolved, override)
    try:
        return recipe_type.model_validate(resolved)
    except ValidationError as error:
        raise ValueError(f"recipe {path or 'of the command line'}: {explain(error)}") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping, read without object construction and of bounded size and aliases."""
    if not path.is_file():
        raise ValueError(f"recipe {path} does not exist; see the folder recipes/ for examples")
    if path.stat().st_size > MAX_RECIPE_BYTES:
        raise ValueError(f"recipe {path} has {path.stat().st_size} bytes; a recipe has at most {MAX_RECIPE_BYTES}")
    try:
        fields = _load_yaml(path.read_text(encoding="utf-8"))
    except _RefusedError as error:
        raise ValueError(f"recipe {path} {error}") from None
    except (yaml.YAMLError, ValueError) as error:  # the latter of what is no UTF-8, no date or too long a number
        raise ValueError(f"recipe {path} is not YAML: {' '.join(str(error).split())[:500]}") from None
    if fields is None:
        return {}
    if not isinstance(fields, dict):
        raise ValueError(f"recipe {path} is a {type(fields).__name__}; a recipe is a mapping of fields to values")
    return fields


class _RefusedError(yaml.YAMLError):
    """What YAML allows and a recipe does not need."""


def _load_yaml(text: str) -> Any:
    """The value of a YAML text; YAMLError or ValueError for what is none. Bombs are refused while they are read."""
    depth = 0
    for token in yaml.scan(text):
        if isinstance(token, yaml.AliasToken):
            raise _RefusedError("uses a YAML alias (*name), which recipes do not allow; write the value out")
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > MAX_DEPTH:
            raise _RefusedError(f"is nested more than {MAX_DEPTH} deep, which no recipe is")
    return yaml.safe_load(text)


def _apply_override(fields: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals or not name:
        raise ValueError(f"--set takes FIELD=VALUE such as train.steps=100, not {override!r}")
    *parents, leaf = name.split(".")
    for parent in parents:
        fields = fields.setdefault(parent, {})
        if not isinstance(fields, dict):
            raise ValueError(f"--set {override}: {parent!r} is a value, it has no field {leaf!r}")
    try:
        fields[leaf] = _load_yaml(text)
    except (yaml.YAMLError, ValueError):
        fields[leaf] = text


def explain(error: ValidationError) -> str:
    """A pydantic error in one line a person can act on: each field with what was wanted and what came."""
    parts = []
    for item in error.errors():
        field = ".".join(str(step) for step in item["loc"]) or "(the whole)"
        if item["type"] == "extra_forbidden":
            parts.append(f"unknown field {field!r}")
        elif item["type"] == "missing":
            parts.append(f"field {field!r} is missing")
        else:
            parts.append(f"field {field!r}: {item['msg']} (came: {str(item['input'])[:80]!r})")
    return "; ".join(parts)
