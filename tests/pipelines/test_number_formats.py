"""Numbers on a page are as long as they help, and what nobody knows is a dash, never zero."""

from __future__ import annotations

import pytest

from pipelines.console.number_formats import changed, compact, counted, figure, measured, minus, signed


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (1.0, "1"),
        (12345, "12,345"),
        (1234.5, "1,234"),
        (37.12, "37.1"),
        (3.246, "3.25"),
        (0.016, "0.016"),
        (None, "–"),
    ],
)
def test_a_figure_has_as_many_digits_as_help(value: float | None, shown: str) -> None:
    assert figure(value) == shown


def test_a_unit_is_shown_where_it_measures() -> None:
    assert [measured(0.253, "share"), measured(2.5, "s"), measured(9, "boxes"), measured(None, "s")] == [
        "25.3 %",
        "2.50 s",
        "9",
        "–",
    ]


def test_a_difference_has_its_sign_and_no_sign_stands_before_nothing() -> None:
    assert [changed(15), changed(-0.005, "share"), changed(-0.0001), changed(-0.0), changed(None)] == [
        "+15",
        "−0.5 %",
        "0",
        "0",
        "–",
    ]


def test_large_numbers_are_short() -> None:
    assert [compact(58_400_000), compact(848_400), compact(138), compact(None)] == ["58.4M", "848.4k", "138", "–"]


def test_what_is_counted_stands_in_the_right_number() -> None:
    assert [counted(1, "image"), counted(0, "image"), counted(1200, "image"), counted(2, "box", "boxes")] == [
        "1 image",
        "0 images",
        "1,200 images",
        "2 boxes",
    ]


def test_a_difference_in_points_that_rounds_to_nothing_has_no_sign() -> None:
    assert [signed(-0.0004), signed(0.0), signed(-0.01), signed(0.002), signed(None)] == [
        "0.0",
        "0.0",
        "−1.0",
        "+0.2",
        "–",
    ]


def test_negative_numbers_of_a_sentence_have_their_sign_and_names_keep_their_hyphens() -> None:
    assert minus("val-2017 fell (-0.3, interval -2.8 to +2.3)") == "val-2017 fell (−0.3, interval −2.8 to +2.3)"
