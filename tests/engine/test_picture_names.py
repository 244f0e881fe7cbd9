"""A picture is called after its key, or by a digest where a disk of some system could not have both it and another."""

from __future__ import annotations

import hashlib
import unicodedata

import pytest

from engine.exporters.picture_names import PictureNames


def name(key: str) -> str:
    return PictureNames().of(key, "jpg")


def digest(key: str) -> str:
    return f"key-{hashlib.sha256(key.encode()).hexdigest()[:32]}.jpg"


def test_names_of_files_are_plain_or_digests() -> None:
    assert name("000000012") == "000000012.jpg"
    assert name("../../etc/passwd") == digest("../../etc/passwd")
    for key in ("", " a", "-rf", "a:b", "a\x00b", "猫" * 100, "a.b", "x" * 250, "a\ud800", "CON", "lpt1"):
        assert name(key).startswith("key-")
    with pytest.raises(ValueError, match="extension"):
        PictureNames().of("a", "../x")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Dog", "dog"),
        ("dog", "DOG"),
        ("été", "ÉTÉ"),
        ("café", unicodedata.normalize("NFD", "café")),
        (unicodedata.normalize("NFD", "CAFÉ"), "café"),
    ],
)
def test_of_two_keys_that_some_disk_takes_for_one_the_first_keeps_its_name(first: str, second: str) -> None:
    names = PictureNames()
    assert [names.of(key, "jpg") for key in (first, second)] == [f"{first}.jpg", digest(second)]


def test_an_ending_does_not_tell_two_apart() -> None:
    """Their labels are files of one ending."""
    names = PictureNames()
    names.of("a", "jpg")
    assert names.of("A", "png").startswith("key-")


def test_keys_that_differ_in_more_keep_their_names() -> None:
    names = PictureNames()
    keys = ["1", "01", "a", "b", "cafe", "café", "straße-1", "strasse-2"]
    assert [names.of(key, "png") for key in keys] == [f"{key}.png" for key in keys]
