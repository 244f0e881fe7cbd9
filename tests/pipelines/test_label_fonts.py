"""Labels can be read: a font of the system writes what Pillow's own cannot, and without one accents are left out."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFont

from pipelines.pictures import label_fonts
from pipelines.pictures.draw import LabelledBox, draw_boxes
from pipelines.pictures.label_fonts import font_for

WIDE = "DejaVuSans.ttf"


def label(text: str) -> bytes:
    return draw_boxes(Image.new("RGB", (1000, 200)), [LabelledBox((10, 60, 900, 190), text, 0)]).tobytes()


def test_without_a_font_of_the_system_letters_lose_their_accents_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(label_fonts, "SYSTEM_FONTS", ("no-such-font.ttf",))
    assert font_for("a jalapeño café 0.91", 20)[0] == "a jalapeno cafe 0.91"
    assert label("a jalapeño 0.91") == label("a jalapeno 0.91")
    assert font_for("“a dog’s” café 0.91", 20)[0] == "“a dog’s” cafe 0.91"


def test_what_no_font_has_is_drawn_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_fonts, "SYSTEM_FONTS", ())
    for text in ("一只红色的狗 0.9", "كلب", "😀", "\ud800", "", "a\u0301"):
        assert np.frombuffer(label(text), np.uint8).any(), repr(text)


def test_a_font_of_the_system_writes_what_pillows_own_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        wide = ImageFont.truetype(WIDE, 20)
    except OSError:
        pytest.skip(f"this machine has no {WIDE}")
    monkeypatch.setattr(label_fonts, "SYSTEM_FONTS", ("no-such-font.ttf", WIDE))
    for text in ("a jalapeño 0.91", "собака 0.70", "σκύλος 0.70"):
        written, font = font_for(text, 20)
        assert (written, font.getmask(text).size) == (text, wide.getmask(text).size)
    plain, own = font_for("a dog 0.91", 20)
    assert (plain, own.getmask("dog").size) == ("a dog 0.91", ImageFont.load_default(20).getmask("dog").size)
