"""The fuzz targets of ``benchmarks/fuzz.py``: shortly and always the same here, for longer where slow tests run."""

from __future__ import annotations

import fuzz
import pytest

EXAMPLES = {
    "tar index": 150,
    "Parquet source": 150,
    "decode and prepare": 200,
    "caption parsing": 60,
    "sample JSON": 200,
    "recipe YAML": 150,
}


@pytest.mark.filterwarnings("ignore")  # decoders warn of what is damaged
@pytest.mark.parametrize("target", EXAMPLES)
def test_a_short_fuzz_finds_no_crash_and_no_broken_invariant(target: str) -> None:
    fuzz.shortly(fuzz.TARGETS[target], EXAMPLES[target])()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", EXAMPLES)
def test_a_longer_fuzz_finds_no_crash_and_no_broken_invariant(target: str) -> None:
    fuzz.shortly(fuzz.TARGETS[target], 20 * EXAMPLES[target])()


def test_a_target_is_fuzzed_more_than_once_in_a_process() -> None:
    for examples in (1, 2):
        fuzz.shortly(fuzz.TARGETS["sample JSON"], examples)()


def test_every_target_is_fuzzed() -> None:
    assert fuzz.TARGETS.keys() == EXAMPLES.keys()
