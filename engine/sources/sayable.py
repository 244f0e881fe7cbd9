"""Untrusted text as valid UTF-8: names and cells may contain lone surrogates, which stand for bytes that are not."""

from __future__ import annotations


def sayable(text: str) -> str:
    """The text with lone surrogates escaped, so that it can be encoded: for keys, messages and digests.

    >>> sayable("dog\\udcff")
    'dog\\\\udcff'
    """
    return text.encode(errors="backslashreplace").decode()
