"""Parsing and decoding under random input: nothing may crash, hang, or break an invariant.

    python benchmarks/fuzz.py [--minutes 10] [--only WORD]

In: a time. Out: for each target the number of inputs it was given, and status 1 with the smallest input that broke one.
The targets are checks of inputs that hypothesis draws; the tests run them too, shortly and always the same
(`tests/pipelines/test_fuzz.py`).
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from fuzz_inputs import GOOD_RECIPE, GOOD_SAMPLE, captions, damaged, json_values, parquets, pictures, tars
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.phrases import PhraseParser
from engine.sources.parquet import Parquet
from engine.sources.tar_index import index_tar
from engine.sources.webdataset import WebDataset
from glip.preprocess import image_tensor
from glip.rgb import as_rgb
from schemas.recipes import LabelRecipe, ParquetSource, PhrasesRecipe, WebDatasetSource, load_recipe
from schemas.records import CaptionedImage, GroundingRequest, Phrase, Prompt, PromptSpan, Reject
from schemas.shards import SampleLabels
from teacher.worker import TeacherWorker

Target = Callable[[settings], Callable[[], None]]
"""Makes the run of a check under settings: a new one each time, since hypothesis accepts settings only once."""


def target(*inputs: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Target]:
    """A decorator that makes a target of a check, whose arguments are drawn from ``inputs``."""
    return lambda check: lambda chosen: chosen(given(*inputs)(check))


@target(damaged(st.sampled_from(tars()) | st.binary(max_size=2048)))
def tar_index(content: bytes) -> None:
    """Rows are the same each time; good ones lie inside of the file; a source of it gives an outcome for each row."""
    first, second = index_tar(io.BytesIO(content)), index_tar(io.BytesIO(content))
    assert first == second
    for row in first.rows:
        assert row.reason or all(0 <= member.offset <= len(content) for member in row.members.values())
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "0.tar").write_bytes(content)
        source = WebDataset(WebDatasetSource(uri=folder))
        if first.rows:
            outcomes = [one for ref in source.units(3) for one in source.read(ref)]
            assert len(outcomes) == len(first.rows)
            assert {type(one) for one in outcomes} <= {CaptionedImage, Reject}


@target(damaged(st.sampled_from(parquets())), st.sampled_from([None, "id"]))
def parquet_source(content: bytes, key_column: str | None) -> None:
    """An outcome for each row, or an error in one line; the process never crashes."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "0.parquet").write_bytes(content)
        try:
            source = Parquet(ParquetSource(uri=folder, key_column=key_column))
            refs = source.units(3)
        except ValueError as error:
            assert "\n" not in str(error)  # noqa: PT017 - hypothesis may not be given an expectation
            return
        outcomes = [one for ref in refs[:3] for one in source.read(ref)]
        assert len(outcomes) == sum(ref.rows for ref in refs[:3])
        assert {type(one) for one in outcomes} <= {CaptionedImage, Reject}


class PreparingGrounder:
    """Decodes and resizes like the teachers, and finds nothing: the code before the model is tested."""

    max_tokens, digest, full_batches = 64, "none", False

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def phrase_fits(self, text: str) -> bool:
        return True

    def bucket(self, width: int, height: int) -> tuple[int, int]:
        return (0, 0)

    def prepare(self, image: Image.Image) -> Any:
        assert as_rgb(image).size == image.size
        return image_tensor(image, (8, 8))

    def ground(self, questions: Any, min_score: float) -> list[list[Any]]:
        return [[] for _ in questions]


@target(damaged(st.sampled_from(pictures()) | st.binary(max_size=512)))
def decode_and_prepare(content: bytes) -> None:
    """A picture gets an answer, or a reject with one of the fixed reasons."""
    phrase = Phrase("a dog", 0, 5, "dog")
    source = CaptionedImage("a", content, "jpg", "a dog", "")
    request = GroundingRequest(source, (phrase,), (Prompt("a dog", (PromptSpan(0, 0, 5),)),))
    worker = TeacherWorker(PreparingGrounder(), batch_size=1, min_score=0.1, max_image_pixels=4_000_000)
    (outcome,) = worker.ground([request])
    if isinstance(outcome, Reject):
        assert outcome.reason in (
            *("image_unreadable", "image_too_many_pixels", "image_too_many_scans", "image_too_elongated"),
        )
        outcome.message.encode()
    else:
        assert min(outcome.width, outcome.height) > 0


@lru_cache
def parser(method: str, expressions: bool) -> PhraseParser:
    return PhraseParser(PhrasesRecipe(method=method, expressions=expressions))  # type: ignore[arg-type]


@target(captions, st.sampled_from(["spacy", "nltk-grammar"]), st.booleans())
def caption_parsing(caption: str, method: str, expressions: bool) -> None:
    """`caption[start:end] == phrase`, in any Unicode; phrases are the same alone and in a batch with other captions."""
    one = parser(method, expressions)
    alone, beside = one.parse([caption])[0], one.parse(["a cat on a red sofa", caption])[1]
    assert alone == beside
    for phrase in alone:
        assert caption[phrase.start : phrase.end] == phrase.text
        assert 0 <= phrase.start < phrase.end <= len(caption)
        assert phrase.head_lemma
    if not alone:
        assert one.reject("a", caption).reason in ("caption_empty", "caption_too_long", "no_phrase")


@target(damaged(st.just(GOOD_SAMPLE)) | st.binary(max_size=200) | json_values.map(lambda value: repr(value).encode()))
def sample_json(content: bytes) -> None:
    """Labels that are read are valid: spans, boxes inside of the picture; all others raise ValueError."""
    try:
        labels = SampleLabels.model_validate_json(content)
    except ValueError:
        return
    assert all(labels.caption[one.start : one.end] == one.text for one in labels.phrases)
    assert all(0 <= x <= labels.width for box in labels.boxes for x in box.box_xyxy[::2])
    assert SampleLabels.model_validate_json(labels.model_dump_json()) == labels


@target(
    damaged(st.just(GOOD_RECIPE))
    | st.binary(max_size=200)
    | st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def recipe_yaml(content: bytes) -> None:
    """A recipe, or a ValueError in one line; never another exception."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "recipe.yaml")
        path.write_bytes(content)
        try:
            recipe = load_recipe(LabelRecipe, path)
        except ValueError as error:
            assert "\n" not in str(error)  # noqa: PT017 - hypothesis may not be given an expectation
            return
        assert load_recipe(LabelRecipe, None, (), recipe.model_dump()) == recipe


TARGETS: dict[str, Target] = {
    "tar index": tar_index,
    "Parquet source": parquet_source,
    "decode and prepare": decode_and_prepare,
    "caption parsing": caption_parsing,
    "sample JSON": sample_json,
    "recipe YAML": recipe_yaml,
}
ALLOWED = [
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.large_base_example,
]


def shortly(run_under: Target, examples: int) -> Callable[[], None]:
    """The run of a target with ``examples`` inputs, which are the same every time."""
    return run_under(
        settings(max_examples=examples, derandomize=True, deadline=None, database=None, suppress_health_check=ALLOWED)
    )


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=10.0, help="for all targets together")
    options.add_argument("--only", default="", help="only the targets whose name has this in it")
    given_options = options.parse_args()
    warnings.simplefilter("ignore")  # decoders warn about damaged input
    chosen = {name: run_under for name, run_under in TARGETS.items() if given_options.only in name}
    each_s, failed = given_options.minutes * 60 / len(chosen), 0
    for name, run_under in chosen.items():
        rounds, ends_at = 0, time.monotonic() + each_s
        fuzzed = run_under(settings(max_examples=500, deadline=None, database=None, suppress_health_check=ALLOWED))
        verdict = "no fault"
        while time.monotonic() < ends_at:
            try:
                fuzzed()
            except Exception as error:
                failed, verdict = failed + 1, f"FAILED: {type(error).__name__}: {str(error)[:500]}"
                break
            rounds += 1
        print(f"| {name:20} | {rounds * 500:8} inputs | {verdict} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
