"""Configs come from files: what does not describe a buildable model is refused with the field's name."""

from __future__ import annotations

from typing import Any

import pytest

from glip.config import GLIPConfig


@pytest.mark.parametrize("config", [GLIPConfig.nano(), GLIPConfig.tiny(), GLIPConfig.large()])
def test_a_config_survives_the_way_through_json_values(config: GLIPConfig) -> None:
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in config.to_dict().items()}
    assert GLIPConfig.from_dict(values) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 3}, "unknown fields"),
        ({"channels": 10**9}, "width"),
        ({"text_layers": 10**9}, "depth"),
        ({"vocabulary_size": 10**9}, "vocabulary_size"),
        ({"head_layers": "3"}, "head_layers"),
        ({"swin_depths": [2, 2, "x", 2]}, "swin_depths"),
        ({"swin_heads": [1, 2, 4, 7]}, "divide"),
        ({"bucket_sides": [100]}, "multiples of 32"),
        ({"max_tokens": 10**4}, "max_tokens"),
        ({"num_levels": 0}, "num_levels"),
        ({"test_min_size": 10**9}, "test_min_size"),
        ({"train_min_sizes": [160, 0]}, "train_min_sizes"),
        ({"bucket_sides": [32 * 10**6]}, "bucket_sides"),
        ({"max_boxes_per_image": -1}, "max_boxes_per_image"),
        ({"candidate_min_score": float("nan")}, "candidate_min_score"),
        ({"swin_drop_path": 5.0}, "swin_drop_path"),
        ({"anchor_scale": float("inf")}, "anchor_scale"),
    ],
)
def test_a_config_that_cannot_be_built_names_its_field(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GLIPConfig.from_dict(GLIPConfig.nano().to_dict() | change)


def test_a_missing_field_is_named() -> None:
    values = GLIPConfig.nano().to_dict()
    del values["swin_window"]
    with pytest.raises(ValueError, match="swin_window"):
        GLIPConfig.from_dict(values)
