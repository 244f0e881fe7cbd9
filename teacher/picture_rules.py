"""How a Hugging Face checkpoint wants its pictures, as its folder says.

In: the folder. Out: the fields that are followed here, checked. They stand in preprocessor_config.json, or, since
transformers 5 saves a processor as one file, in the part ``image_processor`` of processor_config.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from PIL.Image import Resampling
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from glip.model_folder import read_json

PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"
MAX_SIDE = 16_384  # no published model comes near it

_Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class PictureRules(BaseModel):
    """The fields of a checkpoint's image processor that are followed here, by the names of transformers. A field that
    is missing or null has the model's own value."""

    model_config = ConfigDict(frozen=True)

    do_pad: bool = True
    do_resize: bool = True
    do_rescale: bool = True
    do_normalize: bool = True
    size: dict[str, _Side | None] | None = None
    resample: Resampling | None = None
    rescale_factor: _Positive = 1 / 255
    image_mean: tuple[_Finite, _Finite, _Finite] | None = None
    image_std: tuple[_Positive, _Positive, _Positive] | None = None


def has_picture_rules(folder: Path) -> bool:
    """Whether the folder holds an image processor's rules, in either file."""
    return _saved_as_one(folder) is not None or (folder / PREPROCESSOR).is_file()


def read_picture_rules(folder: Path) -> tuple[Path, PictureRules]:
    """The file that holds the rules, and the rules. If both files do, processor_config.json counts, as in transformers.
    ValueError names a field with a bad value."""
    found = _saved_as_one(folder)
    path = folder / (PREPROCESSOR if found is None else PROCESSOR)
    fields = read_json(path) if found is None else found
    try:
        return path, PictureRules.model_validate({name: one for name, one in fields.items() if one is not None})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ValueError(f"{path}: {field}: {first['msg']} (came: {first['input']!r:.100})") from None


def _saved_as_one(folder: Path) -> dict[str, Any] | None:
    """The image processor's part of processor_config.json, as transformers 5 writes it; None where there is no such
    file or part."""
    path = folder / PROCESSOR
    found = read_json(path).get("image_processor") if path.is_file() else None
    return found if isinstance(found, dict) else None
