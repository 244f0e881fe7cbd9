"""A checkpoint of the hub whose description was made to hurt: an error that names the file, before anything is made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from schemas.recipes import TeacherRecipe
from teacher.grounder import open_grounder


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.json", {"vision_config": {"num_hidden_layers": 10**6}}, r"num_hidden_layers is 1000000, at most 256"),
        ("config.json", {"text_config": {"vocab_size": 10**12}}, r"text_config\.vocab_size is 1000000000000"),
        ("config.json", {"text_config": {"num_attention_heads": 0}}, r"cannot be made of its config\.json"),
        ("preprocessor_config.json", {"size": {"height": 10**7}}, r"preprocessor_config\.json: size\.height is"),
    ],
)
def test_a_description_beyond_any_model_is_refused(
    hub_folders: dict[str, Path], tmp_path: Path, file: str, change: dict[str, Any], message: str
) -> None:
    folder = shutil.copytree(hub_folders["owlv2"], tmp_path / "owlv2")
    description = json.loads((folder / file).read_text())
    for name, fields in change.items():
        description[name] |= fields
    (folder / file).write_text(json.dumps(description))
    with pytest.raises(ValueError, match=message):
        open_grounder(TeacherRecipe(grounder="owlv2", checkpoint=str(folder), device="cpu"))
