"""How captioned images are labelled: phrases, teacher, candidates, filters, and all of it as a job."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from schemas.recipe_files import Recipe
from schemas.source_recipes import Source

DEFAULT_DISTANCE = 6
"""Bits of the coarse 64 in which the perceptual hashes of two files of one picture may differ, and twice as many of the
fine 64: of what ``benchmarks/near_duplicates.py`` encodes anew or resizes 99 % is found, of other photos none."""

SelectionChoice = str | dict[str, Any]
"""A preset's name, or its numbers: ``glip``; ``{min_score: 0.4}``; ``{preset: grit, min_score: 0.7}``;
``{preset: calibrated, calibration: PATH, precision: 0.7}``. Checked where it is resolved (``engine.selection``)."""


class PhrasesRecipe(Recipe):
    """How captions become noun phrases."""

    pipeline: str = "bundled"
    """``bundled``, the name of an installed spaCy pipeline, or its folder."""
    method: Literal["spacy", "nltk-grammar"] = "spacy"
    """Base noun chunks by dependency, or the GLIP paper's tag pattern ``NP: {<DT>?<JJ.*>*<NN.*>+}``."""
    expressions: bool = False
    """Extend each chunk to its referring expression by dependency subtree, as GRIT does."""
    max_caption_chars: int = Field(default=2000, gt=0)
    """A longer caption is rejected as ``caption_too_long``."""
    batch_size: int = Field(default=256, gt=0)
    """Captions that spaCy parses at once."""


class TeacherRecipe(Recipe):
    """Which grounder answers, and how it is run."""

    grounder: str = "glip"
    """``glip``, ``grounding-dino``, ``mm-grounding-dino``, ``owlv2`` or ``ensemble`` (the table
    ``teacher.grounder.GROUNDERS``)."""
    checkpoint: str = "nano"
    """For ``glip``: ``nano`` (shipped), ``glip-t`` or ``glip-l`` (published, fetched from the Hugging Face hub), the
    path of a model folder or of a published file, or a registry's model: ``registry:URI`` (its current version when the
    work begins) or ``registry:URI@3``. For the others: the folder of a Hugging Face checkpoint, or its name on the hub
    together with ``revision``, such as ``IDEA-Research/grounding-dino-tiny``,
    ``openmmlab-community/mm_grounding_dino_tiny_o365v1_goldg_v3det``, ``google/owlv2-base-patch16-ensemble``. Not used
    by ``ensemble``."""
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    """Commit of a checkpoint on the hub (40 hexadecimal digits, from its page's history). A branch or tag could point
    to other weights tomorrow."""
    checkpoint_sha256: str | None = Field(default=None, pattern=r"^[0-9a-fA-F]{64}$")
    """For ``glip``: SHA-256 that the weights' file must have. ``glip-t`` and ``glip-l`` require it."""
    tokenizer: str | None = None
    """For a published file of ``glip``: the ``vocab.txt`` or ``tokenizer.json`` of bert-base-uncased. By default it is
    looked for beside the file, then on the hub. A model folder has its own."""
    members: tuple[TeacherRecipe, ...] = ()
    """The two teachers of an ``ensemble``, each with a grounder and a checkpoint. Device, precision and threads
    are the ensemble's."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """``auto`` is a GPU if there is one."""
    batch_size: int = Field(default=8, gt=0)
    """Images of one shape bucket that go through the model at once. Halved automatically when memory runs out."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """``auto`` is bf16 on a GPU and fp32 on a CPU, but always fp32 for the Grounding DINOs, whose boxes bf16 moves. On
    a CPU that multiplies in bf16, ``bf16`` is faster (``docs/performance.md``)."""
    threads: int = Field(default=1, gt=0)
    """CPU threads of each worker's model. Part of the recipe because it can change the last digit of a score."""
    compile: bool | Literal["reduce-overhead"] = False
    """For ``glip``: ``true`` runs the model through ``torch.compile``, with one graph per batch shape;
    ``reduce-overhead`` also replays it as a CUDA graph. See ``docs/teachers.md``."""
    min_size: int | None = Field(default=None, gt=0)
    """Resize the short side to so many pixels. By default the checkpoint's own size."""
    max_size: int | None = Field(default=None, gt=0)
    """Limit of the long side in pixels. By default the checkpoint's own."""

    @model_validator(mode="after")
    def _members_are_an_ensembles(self) -> TeacherRecipe:
        if self.grounder == "ensemble" and len(self.members) != 2:
            raise ValueError(
                f"an ensemble has two members, not {len(self.members)}: give each a grounder, a checkpoint"
            )
        if self.grounder != "ensemble" and self.members:
            raise ValueError(f"members are an ensemble's; the grounder is {self.grounder!r}")
        if any(member.grounder == "ensemble" for member in self.members):
            raise ValueError("a member of an ensemble cannot be an ensemble itself")
        return self

    @model_validator(mode="after")
    def _options_of_glip_are_glips(self) -> TeacherRecipe:
        given = [name for name in ("checkpoint_sha256", "tokenizer", "compile") if getattr(self, name)]
        if self.grounder != "glip" and given:
            raise ValueError(f"{', '.join(given)}: for the grounder glip, not for {self.grounder!r}")
        return self


class GroundRecipe(Recipe):
    """How captioned pictures are grounded: captions to phrases, phrases to boxes."""

    phrases: PhrasesRecipe = PhrasesRecipe()
    teacher: TeacherRecipe = TeacherRecipe()
    min_score: float = Field(default=0.05, gt=0, lt=1)
    """The floor: candidates below are not stored. Low, because readers decide what is high-confidence."""
    max_boxes_per_phrase: int = Field(default=20, gt=0)
    """At most so many candidates are stored per phrase, the best first."""
    max_image_pixels: int = Field(default=100_000_000, gt=0)
    """A larger picture is rejected as ``image_too_many_pixels`` before it is decoded (decompression bombs)."""


class FiltersRecipe(Recipe):
    """What a labelling job leaves out before the teacher sees it, each rule with a reason of its own; all off by
    default. What boxes are kept is no filter but a selection, made when a dataset is read."""

    min_image_side: int | None = Field(default=None, gt=0)
    """The short side must have at least so many pixels (``image_side_below_min``)."""
    max_image_aspect: float | None = Field(default=None, ge=1)
    """The long side may be at most so many times the short one (``image_aspect_above_max``)."""
    min_caption_chars: int | None = Field(default=None, gt=0)
    """Fewest characters of a caption without the white space around it (``caption_chars_below_min``). For the most, set
    ``phrases.max_caption_chars``."""
    min_caption_words: int | None = Field(default=None, gt=0)
    """Fewest words of a caption, cut at white space (``caption_words_below_min``)."""
    max_caption_words: int | None = Field(default=None, gt=0)
    """Most words of a caption, cut at white space (``caption_words_above_max``)."""
    languages: tuple[Annotated[str, Field(pattern=r"^[a-z]{2,3}$")], ...] = ()
    """Allowed languages of captions, such as ``[en]`` (ISO 639-1; ``caption_language_other``). Needs the extra
    ``language``."""
    min_language_probability: float = Field(default=0.003, gt=0, le=1)
    """Reject a caption if these languages together are less probable than this. Low, because a few words say little: a
    caption that says nothing gives each of 97 languages about 0.01."""
    stop_phrases: tuple[Annotated[str, Field(pattern=r"\S")], ...] = ()
    """Leave out phrases that end in one of these, in any case, singular or plural: ``photo`` leaves out "a stock photo"
    and "Photos"; ``stock photo`` only the first. A sample with no other phrase is ``phrases_all_stopped``."""

    def rules(self) -> dict[str, Any]:
        """The fields that are not as by default."""
        return self.model_dump(mode="json", exclude_defaults=True)


class LabelRecipe(GroundRecipe):
    """A labelling job. Everything here decides the bytes of the shards; workers and paths of the run do not."""

    source: Source
    selection: SelectionChoice = "glip"
    """The selection that readers apply by default: a preset (``glip``, ``grit``, ``owl-st``, ``all``), numbers, or
    both, as ``{preset: grit, min_score: 0.7}``."""
    unit_size: int = Field(default=200, gt=0)
    """Samples in a unit: the size of a shard, and the work that is redone after a crash."""
    filters: FiltersRecipe = FiltersRecipe()
    leaks: tuple[str, ...] = ()
    """Datasets that models are evaluated on, in this project's format. Their pictures are rejected from the source, as
    the same file (``leak``) or as another file of the same picture (``leak_near``)."""
    max_leak_distance: int = Field(default=DEFAULT_DISTANCE, ge=0, le=12)
    """How many bits of 64 the perceptual hashes of a picture and of one in ``leaks`` may differ in to count as one."""
