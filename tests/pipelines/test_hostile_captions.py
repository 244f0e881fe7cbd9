"""Captions that nobody has written by hand: each is labelled with spans that hold, or a reject with its reason.

``TEXTS`` are the ``.txt`` of a sample, ``JSONS`` its ``.json``. What a caption says is stored as it came, without white
space around it; each phrase is a piece of it, character for character.
"""

from __future__ import annotations

from typing import Any

import pytest
from bounded_jobs import label_apart
from pictures import saved
from PIL import Image

from schemas.recipes import WebDatasetSource

LABELLED, EMPTY, NONE, UNREADABLE = None, "caption_empty", "no_phrase", "caption_unreadable"
MISSING, LONG, PHRASE_LONG = "caption_missing", "caption_too_long", "phrase_too_long"

TEXTS: dict[str, tuple[bytes | str, str | None]] = {
    "of-no-byte": ("", EMPTY),
    "of-spaces": (" \t\r\n\u2003\u2028 ", EMPTY),
    "of-a-nul": ("\0", NONE),
    "of-a-mark": (b"\xef\xbb\xbf", EMPTY),
    "of-zero-width": ("\u200b\u200d\u2060", NONE),
    "of-signs": ("!!! ... ??? --- ***", NONE),
    "of-one-letter": ("a", NONE),
    "with-a-nul": ("a brown\0dog on the grass", LABELLED),
    "with-control-characters": ("a \x01brown\x02 \x1b[31mdog\x1b[0m and\x7f a cat\x9f", LABELLED),
    "of-ten-thousand-characters": ("a dog " * 1667, LONG),
    "as-long-as-allowed": ("a dog " * 333 + "x", LABELLED),
    "of-one-word": ("x" * 2000, NONE),
    "of-one-endless-phrase": ("a " + "big " * 400 + "dog", PHRASE_LONG),
    "of-one-word-and-a-dog": ("a dog " + "x" * 1900, LABELLED),
    "of-a-thousand-commas": ("a dog " + "," * 1900 + " a cat", LABELLED),
    "of-five-hundred-brackets": ("(" * 500 + "a dog" + ")" * 500, LABELLED),
    "of-two-megabytes": (b"a dog " * 350_000, LONG),
    "hebrew": ("כלב חום על הדשא", LABELLED),
    "english-and-arabic": ("a dog كلب بني and a cat", LABELLED),
    "turned-by-bidi": ("a \u202ered dog\u202c and \u2067a cat\u2069 on grass", LABELLED),
    "chinese": ("一只狗在草地上", LABELLED),
    "emoji-with-joiners": ("a 👨\u200d👩\u200d👧 family with a 🏳\ufe0f\u200d🌈 flag and a dog", LABELLED),
    "of-emoji": ("👩🏽\u200d🚀🐕", NONE),
    "html-entities": ("a dog &amp; a cat &lt;b&gt; on &#39;the grass&#39;", LABELLED),
    "html-tags": ("<p>a <b>brown dog</b><script>alert(1)</script> on the grass</p>", LABELLED),
    "a-template": ("{{7*7}} ${jndi:ldap://x/y} %s %n a dog", LABELLED),
    "sql": ("a dog'); DROP TABLE boxes; --", LABELLED),
    "a-path": ("../../etc/passwd and a dog", LABELLED),
    "a-model-s-own-signs": ("[CLS] a dog [SEP] [MASK] a cat [PAD] [UNK]", LABELLED),
    "combining-marks": ("a cafe\u0301 and a do\u0308g with a n\u0303andu", LABELLED),
    "two-hundred-marks-on-a-letter": ("a d" + "\u0301" * 200 + "og and a cat", LABELLED),
    "zero-width-in-words": ("a br\u200bown d\u200cog and a c\u00adat", LABELLED),
    "full-width": ("ａ　ｂｒｏｗｎ　ｄｏｇ and a cat", LABELLED),
    "mathematical-letters": ("𝐚 𝐛𝐫𝐨𝐰𝐧 𝐝𝐨𝐠 and a cat", LABELLED),
    "letters-that-grow": ("AN İSTANBUL DOG AND A STRAßE WITH A ﬁSH", LABELLED),
    "no-characters": ("a dog \ufffe\uffff\U0010ffff and a cat", LABELLED),
    "private-characters": ("a \ue000 dog and \U000f0000 a cat", LABELLED),
    "tags-of-language": ("a dog \U000e0061\U000e0062 and a cat", LABELLED),
    "line-separators": ("a dog\u2028and\u2029a cat\x85and\x0ba bird\x0c", LABELLED),
    "in-latin-1": ("a café".encode("latin-1"), UNREADABLE),
    "in-utf-16": ("a dog".encode("utf-16"), UNREADABLE),
    "cut-in-a-character": ("a dog é".encode()[:-1], UNREADABLE),
    "too-long-in-utf-8": (b"a dog \xc0\xaf", UNREADABLE),
    "half-a-pair-in-utf-8": (b"a dog \xed\xa0\x80", UNREADABLE),
    "a-picture": (b"\x89PNG\r\n\x1a\n\x00\x00", UNREADABLE),
}
JSONS: dict[str, tuple[bytes, str | None]] = {
    "json": (rb'{"caption": "a dog \ud83d\udc15 \u0000 and a cat"}', LABELLED),
    "json-of-half-a-pair": (rb'{"caption": "a dog \ud800"}', UNREADABLE),
    "json-of-no-byte": (b"", UNREADABLE),
    "json-cut": (b'{"caption": "a dog', UNREADABLE),
    "json-nested": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, UNREADABLE),
    "json-of-lists": (b"[" * 900_000, UNREADABLE),
    "json-of-a-huge-number": (b'{"n": ' + b"9" * 900_000 + b', "caption": "a dog"}', UNREADABLE),
    "json-of-an-infinite-number": (b'{"n": 1e999, "m": NaN, "caption": "a dog"}', LABELLED),
    "json-with-a-number-as-caption": (b'{"caption": 7}', MISSING),
    "json-with-nothing-as-caption": (b'{"caption": null}', MISSING),
    "json-with-a-list-as-caption": (b'{"caption": ["a dog"]}', MISSING),
    "json-with-two-captions": (b'{"caption": 7, "caption": "a dog"}', LABELLED),
    "json-that-is-a-text": (b'"a dog"', MISSING),
    "json-that-is-nan": (b"NaN", MISSING),
    "json-that-is-yaml": (b"caption: a dog", UNREADABLE),
    "json-of-two-megabytes": (b'{"caption": "' + b"x" * 2_000_000 + b'"}', LONG),
}


@pytest.fixture(scope="module")
def labelled(web: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("captions")
    grey = saved(Image.radial_gradient("L").resize((64, 48)))
    members = []
    for kind, table in (("txt", TEXTS), ("json", JSONS)):
        for key, (text, _) in table.items():
            members += [(f"{key}.png", grey)]
            members += [(f"{key}.{kind}", text if isinstance(text, bytes) else text.encode())]
    web.tar_of(folder / "in" / "0.tar", members)
    return label_apart(WebDatasetSource(uri=str(folder / "in")), folder)


def test_each_hostile_caption_is_labelled_or_a_reject_with_its_reason(labelled: Any) -> None:
    expected = {key: reason for key, (_, reason) in {**TEXTS, **JSONS}.items()}
    assert {key: labelled.reason(key) for key in expected} == expected
    assert labelled.labels.keys() == {key for key, reason in expected.items() if reason is None}


def test_captions_are_stored_as_they_came_and_phrases_are_pieces_of_them(labelled: Any) -> None:
    for key, (text, reason) in TEXTS.items():
        if reason is None:
            assert labelled.labels[key].caption == str(text).strip()
    for labels in labelled.labels.values():
        assert labels.phrases
        assert labels.boxes
        for phrase in labels.phrases:
            assert labels.caption[phrase.start : phrase.end] == phrase.text
            assert phrase.text.strip()


def test_what_a_person_sees_in_a_hostile_caption_is_found(labelled: Any) -> None:
    found = {key: [phrase.text for phrase in labels.phrases] for key, labels in labelled.labels.items()}
    assert found["with-a-nul"] == ["a brown\0dog", "the grass"]
    assert "a cat" in found["english-and-arabic"]
    assert "a cat" in found["two-hundred-marks-on-a-letter"]
    assert "a dog" in found["sql"]


def test_hostile_captions_take_no_memory(labelled: Any) -> None:
    assert labelled.peak_bytes < 2 << 30
