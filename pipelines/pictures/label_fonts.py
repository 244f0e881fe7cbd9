"""The font of a label on a picture: Pillow's own, which has plain Latin letters, or one of the system.

In: a text. Out: the font that can write most of it, and the text, without accents on letters that the font lacks. No
font is shipped: letters that no font has become empty boxes.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from itertools import product

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
OWN = ""  # Pillow's, which is always there
# Fonts of Linux, macOS and Windows, common scripts first; Pillow searches the system's font folders.
SYSTEM_FONTS = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf"),
    *("NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "wqy-zenhei.ttc", "DroidSansFallbackFull.ttf"),
    *("msyh.ttc", "meiryo.ttc", "malgun.ttf", "Nirmala.ttc", "Nirmala.ttf"),
    *("NotoSansArabic-Regular.ttf", "NotoSansDevanagari-Regular.ttf", "NotoSansThai-Regular.ttf"),
)
_NO_LETTER, _LOOKED_AT = "\U0010ffff", 16  # a sign that no font has; pixels of signs in a comparison


def font_for(text: str, height: int) -> tuple[str, Font]:
    """The text as it can be written, and a font for it with a height of ``height`` pixels."""
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    ways = product((text, plain), (OWN, *SYSTEM_FONTS))
    best, fewest = (text, OWN), len(text) + 1
    for written, name in ways:
        missing = sum(not _has(name, sign) for sign in set(written)) if _opened(name, _LOOKED_AT) else fewest
        if missing < fewest:
            best, fewest = (written, name), missing
        if fewest == 0:
            break
    font = _opened(best[1], height)
    assert font is not None, "it has been opened"
    return best[0], font


@lru_cache(maxsize=256)
def _opened(name: str, height: int) -> Font | None:
    """The font; None where it is not installed."""
    try:
        return ImageFont.truetype(name, height) if name else ImageFont.load_default(height)
    except OSError:
        return None


@lru_cache(maxsize=10_000)
def _has(name: str, sign: str) -> bool:
    """Whether the font has the sign: then it looks different from a sign that no font has."""
    font = _opened(name, _LOOKED_AT)
    return font is not None and (sign.isspace() or _drawn(font, sign) != _drawn(font, _NO_LETTER))


def _drawn(font: Font, sign: str) -> tuple[object, bytes]:
    mask = font.getmask(sign)
    return mask.size, bytes(mask)
