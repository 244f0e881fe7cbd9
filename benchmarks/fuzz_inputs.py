"""Random inputs for `benchmarks/fuzz.py`: damaged files, captions in any Unicode, odd JSON.

In: draws of hypothesis. Out: bytes and texts; damaged good ones reach deeper into a parser than noise does.
"""

from __future__ import annotations

import io
import tarfile
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from PIL import Image

from schemas.shards import SampleLabels

SIDE = 32


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Good bytes with some changed, cut out, doubled or cut off."""
    content = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        size = draw(st.integers(0, 64))
        match draw(st.sampled_from(["change", "remove", "double", "insert", "end"])):
            case "change":
                piece = draw(st.binary(min_size=1, max_size=16))
                content[at : at + len(piece)] = piece
            case "remove":
                del content[at : at + size]
            case "double":
                content[at:at] = content[at : at + size]
            case "insert":
                content[at:at] = draw(st.binary(max_size=64))
            case "end":
                del content[at:]
    return bytes(content)


@lru_cache
def pictures() -> list[bytes]:
    """One small picture in every format and mode that is read."""
    found = []
    for kind, modes in {
        "JPEG": ("RGB", "L", "CMYK"),
        "PNG": ("RGB", "RGBA", "P", "1", "I;16", "LA"),
        "WEBP": ("RGB", "RGBA"),
        "GIF": ("P", "L"),
        "BMP": ("RGB", "P"),
        "TIFF": ("RGB", "CMYK", "F", "I;16", "1"),
        "PPM": ("RGB", "L"),
        "JPEG2000": ("RGB", "L"),
        "AVIF": ("RGB",),
    }.items():
        for mode in modes:
            file = io.BytesIO()
            Image.radial_gradient("L").resize((SIDE, SIDE)).convert(mode).save(file, kind)
            found.append(file.getvalue())
    progressive = io.BytesIO()
    Image.radial_gradient("L").save(progressive, "JPEG", progressive=True)
    return [*found, progressive.getvalue()]


@lru_cache
def tars() -> list[bytes]:
    found = []
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=kind) as tar:
            for name, content in (
                ("a.jpg", pictures()[0]),
                ("a.txt", b"a dog"),
                ("b" * 120 + ".jpg", b"x"),
                ("é.txt", b""),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        found.append(file.getvalue())
    return found


@lru_cache
def parquets() -> list[bytes]:
    """A small table of pictures and captions, in several layouts that writers use."""
    images = pa.array(
        [{"bytes": pictures()[0], "path": "a.jpg"}, None], pa.struct({"bytes": pa.binary(), "path": pa.string()})
    )
    table = pa.table({"image": images, "caption": ["a dog", None], "id": ["a", "b"]})
    layouts: list[dict[str, Any]] = [{}, {"use_dictionary": False}, {"compression": "zstd"}, {"row_group_size": 1}]
    found = []
    for layout in layouts:
        file = io.BytesIO()
        pq.write_table(table, file, **layout)
        found.append(file.getvalue())
    return found


WORDS = [
    *("a", "the", "two", "brown", "dog", "dogs", "cat", "on"),
    *("grass", "with", "and", "of", "red", "car's", "T-shirt"),
]
SIGNS = [
    "\0",
    "\u200d",
    "\u202e",
    "\ufeff",
    "\u0301",
    "ß",
    "İ",
    "ﬁ",
    "👩‍🚀",
    "&amp;",
    "<b>",
    "\n",
    "\u2028",
    "\xa0",
    "、",
    "'s",
]
captions = st.lists(
    st.one_of(st.sampled_from(WORDS), st.sampled_from(SIGNS), st.text(max_size=6)), max_size=30
).flatmap(lambda parts: st.sampled_from([" ".join(parts), "".join(parts), " ".join(parts).upper()]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
GOOD_SAMPLE = SampleLabels.model_validate(
    {
        "key": "a",
        "caption": "a dog",
        "phrases": [{"text": "a dog", "start": 0, "end": 5, "head_lemma": "dog"}],
        "boxes": [{"phrase": 0, "box_xyxy": [0, 0, 5, 5], "score": 0.5}],
        "width": 9,
        "height": 9,
        "image_sha256": "0" * 64,
        "locator": "",
        "recipe_digest": "",
    }
).model_dump_json().encode()  # fmt: skip
GOOD_RECIPE = b"source: {kind: scenes, count: 5}\nteacher:\n  device: cpu\n  batch_size: 8\nmin_score: 0.05\n"
