"""Text from outside as every file can hold it: names and cells may have what is no UTF-8, as half a surrogate pair."""

from __future__ import annotations


def sayable(text: str) -> str:
    """The text with what has no UTF-8 escaped: for keys, messages and digests.

    >>> sayable("dog\\udcff")
    'dog\\\\udcff'
    """
    return text.encode(errors="backslashreplace").decode()
