"""Sizes and fixed numbers of a GLIP model.

In: nothing but numbers. Out: one frozen GLIPConfig that every other file of this room reads.
Source: GLIP (Li et al., CVPR 2022) and its released configurations `glip_Swin_T_O365_GoldG` and `glip_Swin_L`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Self

# No released or planned model comes near these; a config.json from outside that does is an attack or an accident.
_MAX_WIDTH = 16_384
_MAX_LAYERS = 256
_MAX_VOCABULARY = 1_000_000
_SIDE, _COUNT, _SHARE, _WEIGHT = (1, 16_384), (1, 1_000_000), (0, 1), (0, 1000)
_RANGES: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("test_min_size", "test_max_size", "train_min_sizes", "train_max_size", "bucket_sides"), _SIDE),
    **dict.fromkeys(("atss_candidates", "max_candidates_per_level", "max_boxes_per_image", "drop_block_size"), _COUNT),
    **dict.fromkeys(("swin_drop_path", "drop_block_probability", "text_dropout", "fusion_dropout"), _SHARE),
    **dict.fromkeys(("candidate_min_score", "nms_max_iou", "focal_alpha"), _SHARE),
    **dict.fromkeys(("box_loss_weight", "focal_gamma", "anchor_scale"), _WEIGHT),
}


@dataclass(frozen=True, kw_only=True)
class GLIPConfig:
    """Everything that decides the shape and the numeric behaviour of one GLIP model. Sides are pixels."""

    name: str

    # Image tower: Swin and the feature pyramid
    swin_embed_dim: int
    swin_depths: tuple[int, ...]
    swin_heads: tuple[int, ...]
    swin_window: int
    swin_mlp_ratio: int = 4
    swin_drop_path: float = 0.2
    frozen_swin_stages: int = 0  # n > 0 freezes the patch embedding and the first n stages
    channels: int = 256
    num_levels: int = 5  # P3, P4, ...; at least 3
    drop_block_probability: float = 0.3
    drop_block_size: int = 3

    # Text tower: BERT
    vocabulary_size: int = 30_522
    text_width: int = 768
    text_layers: int = 12
    text_heads: int = 12
    text_intermediate: int = 3072
    text_positions: int = 512
    text_dropout: float = 0.1
    max_tokens: int = 256
    text_offsets: bool = False  # a learned vector per vocabulary entry, added to what the text tower gives

    # Fusion and dynamic head
    head_layers: int = 6
    fusion_width: int = 2048
    fusion_heads: int = 8
    fusion_dropout: float = 0.1
    head_norm_groups: int = 16
    anchor_scale: float = 8.0  # anchor side = anchor_scale * stride

    # Targets and losses
    atss_candidates: int = 9
    box_loss_weight: float = 2.0
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0

    # Post-processing
    candidate_min_score: float = 0.05
    max_candidates_per_level: int = 1000
    nms_max_iou: float = 0.6
    max_boxes_per_image: int = 100

    # A box goes to the start of its last pixel, not to its end, in pixels of the original picture
    last_pixel_left_out: bool = False

    # Image sizes: the short side is resized to min, the long side stays within max
    test_min_size: int = 800
    test_max_size: int = 1333
    train_min_sizes: tuple[int, ...] = (480, 560, 640, 720, 800)
    train_max_size: int = 1333
    # Sides that a padded image may have; few, so that images of a bucket batch together. 1088 and 1216 are what the
    # reference pads 4:3 and 3:2 photos to when it runs one image at a time.
    bucket_sides: tuple[int, ...] = (128, 256, 384, 512, 608, 704, 768, 800, 896, 960, 1088, 1152, 1216, 1344)

    def __post_init__(self) -> None:
        _check(self)

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels per position of each level: 8, 16, 32, ..."""
        return tuple(8 * 2**level for level in range(self.num_levels))

    @classmethod
    def nano(cls) -> Self:
        """The embedded default: trained and run on two CPU cores at a short side of 160."""
        return cls(
            name="nano",
            swin_embed_dim=32,
            swin_depths=(2, 2, 4, 2),
            swin_heads=(1, 2, 4, 8),
            swin_window=8,  # divides the maps of a 256 px side; 7 would pad the last of them to three times its size
            swin_drop_path=0.0,
            channels=64,
            num_levels=4,
            drop_block_probability=0.0,
            vocabulary_size=6000,
            text_width=128,
            text_layers=2,
            text_heads=2,
            text_intermediate=256,
            text_positions=128,
            text_dropout=0.05,
            max_tokens=128,
            head_layers=3,
            fusion_width=128,
            fusion_heads=4,
            fusion_dropout=0.0,
            head_norm_groups=8,
            anchor_scale=4.0,
            test_min_size=160,
            test_max_size=256,
            train_min_sizes=(128, 160),
            train_max_size=256,
            bucket_sides=(64, 96, 128, 160, 192, 224, 256, 288, 320),
        )

    @classmethod
    def tiny(cls) -> Self:
        """GLIP-T, 231.8 M parameters."""
        return cls(
            name="tiny",
            swin_embed_dim=96,
            swin_depths=(2, 2, 6, 2),
            swin_heads=(3, 6, 12, 24),
            swin_window=7,
            last_pixel_left_out=True,
        )

    @classmethod
    def large(cls) -> Self:
        """GLIP-L, 430.4 M parameters."""
        return cls(
            name="large",
            swin_embed_dim=192,
            swin_depths=(2, 2, 18, 2),
            swin_heads=(6, 12, 24, 48),
            swin_window=12,
            swin_drop_path=0.4,
            frozen_swin_stages=1,
            head_layers=8,
            last_pixel_left_out=True,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; `from_dict` reads them back."""
        values = dataclasses.asdict(self)
        for later in ("text_offsets", "last_pixel_left_out"):  # models without them keep the digest they have
            if not values[later]:
                del values[later]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build a config from the values of a JSON object.

        Raises:
            ValueError: an unknown or missing field, a value of the wrong type or outside its range.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"GLIP config: unknown fields {unknown}; known are {sorted(known)}")
        lists_as_tuples: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        try:
            return cls(**lists_as_tuples)
        except TypeError as error:
            raise ValueError(f"GLIP config: {error}") from error


def _check(config: GLIPConfig) -> None:
    """Refuse what would build a wrong or an unboundedly large model. Raises ValueError."""
    for field in dataclasses.fields(config):
        _check_type(field.name, getattr(config, field.name))
    layers = (*config.swin_depths, config.text_layers, config.head_layers)
    widths = [config.swin_embed_dim * 8 * config.swin_mlp_ratio, config.channels, config.fusion_width]
    widths += [config.text_width, config.text_intermediate, config.text_positions, config.swin_window**2]
    _require(len(config.swin_depths) == len(config.swin_heads) == 4, "swin_depths and swin_heads need four entries")
    _require(min(layers) >= 1 and max(layers) <= _MAX_LAYERS, f"every depth must be within 1..{_MAX_LAYERS}")
    _require(min(widths) >= 1 and max(widths) <= _MAX_WIDTH, f"every width must be within 1..{_MAX_WIDTH}")
    _require(1 <= config.vocabulary_size <= _MAX_VOCABULARY, f"vocabulary_size must be within 1..{_MAX_VOCABULARY}")
    _require(3 <= config.num_levels <= 8, "num_levels must be within 3..8")
    _require(0 <= config.frozen_swin_stages <= 4, "frozen_swin_stages must be within 0..4")
    _require(3 <= config.max_tokens <= config.text_positions, "max_tokens must be within 3..text_positions")
    stage_widths = [config.swin_embed_dim * 2**stage for stage in range(4)]
    pairs = [*zip(stage_widths, config.swin_heads, strict=True), (config.text_width, config.text_heads)]
    pairs += [(config.fusion_width, config.fusion_heads), (config.channels, config.head_norm_groups)]
    _require(all(part >= 1 and whole % part == 0 for whole, part in pairs), "heads and groups must divide their width")
    _require(all(side >= 32 and side % 32 == 0 for side in config.bucket_sides), "bucket_sides are multiples of 32")
    _require(list(config.bucket_sides) == sorted(set(config.bucket_sides)), "bucket_sides must ascend")
    _require(config.anchor_scale > 0, "anchor_scale must be positive")
    _check_numbers(config)


def _check_numbers(config: GLIPConfig) -> None:
    """Sides, counts, shares and weights; what is no number is within no range."""
    for name, (least, most) in _RANGES.items():
        value = getattr(config, name)
        values = value if isinstance(value, tuple) else (value,)
        _require(all(least <= one <= most for one in values), f"{name} must be within {least}..{most}: {value!r}")


def _check_type(name: str, value: object) -> None:
    expected = _FIELD_TYPES[name]
    if expected is tuple:
        fits = isinstance(value, tuple) and all(type(item) is int for item in value) and len(value) > 0
    elif expected is float:
        fits = type(value) in (int, float)
    else:
        fits = type(value) is expected
    _require(fits, f"{name} must be {'a list of whole numbers' if expected is tuple else expected.__name__}: {value!r}")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(f"GLIP config: {message}")


_FIELD_TYPES: dict[str, type] = {
    field.name: next(kind for kind in (tuple, bool, float, int, str) if str(field.type).startswith(kind.__name__))
    for field in dataclasses.fields(GLIPConfig)
}
