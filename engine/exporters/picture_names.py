"""File names for the pictures of an export: their keys, or digests of those that would clash or fail on some system.

In: a sample's key and its picture's extension. Out: a unique file name. On disks of macOS and Windows, ``Dog`` and
``dog`` are the same name, and on macOS also the two normal forms of an accent: a folder copied there would lose one.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

from engine.sources.keys import short_digest

MAX_NAME_BYTES = 200
_NAME = re.compile(r'[^./\\\x00-\x1f\x7f:*?"<>|\ud800-\udfff-][^./\\\x00-\x1f\x7f:*?"<>|\ud800-\udfff]*')
_OF_WINDOWS = re.compile(r"con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]", re.IGNORECASE)  # devices, with any extension
_EXTENSION = re.compile(r"[a-z0-9]{1,8}")


class PictureNames:
    """The names of one export. A short digest of each key is remembered, in about 70 bytes; not for keys of digits
    only, as web jobs have."""

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def of(self, key: str, extension: str) -> str:
        """The key with the extension; or a digest of the key, if it is not a valid file name on every system, or some
        system would take it for the same name as an earlier key. ValueError for an odd extension.

        >>> names = PictureNames()
        >>> names.of("000000012", "jpg"), names.of("Dog", "jpg"), names.of("dog", "png")
        ('000000012.jpg', 'Dog.jpg', 'key-cd6357efdd966de8c0cb2f876cc89ec7.png')
        """
        if not _EXTENSION.fullmatch(extension):
            raise ValueError(
                f"sample {key!r}: extension {extension!r} of its picture is not lower-case letters and digits"
            )
        content = key.encode(errors="surrogatepass")
        if _may_be_a_name(key) and len(content) <= MAX_NAME_BYTES and self._is_first(key):
            return f"{key}.{extension}"
        return f"key-{hashlib.sha256(content).hexdigest()[:32]}.{extension}"

    def _is_first(self, key: str) -> bool:
        """Whether the key differs from all earlier ones in more than case and Unicode's normal form."""
        if key.isdecimal():
            return True
        same = short_digest(unicodedata.normalize("NFC", key.casefold()))
        if same in self._taken:
            return False
        self._taken.add(same)
        return True


def _may_be_a_name(key: str) -> bool:
    return bool(_NAME.fullmatch(key)) and not _OF_WINDOWS.fullmatch(key) and key == key.strip()
