"""Characters that the output's encoding lacks: they are printed as escapes, as in JSON, and end no command.

Where the locale is not UTF-8, a caption or a path may have such characters. Half a surrogate, from a file name that is
not UTF-8, can be printed nowhere.
"""

from __future__ import annotations

import codecs
import io
import json
import sys

_ESCAPED = "glip-engine-escaped"


def escape_what_cannot_be_printed() -> None:
    """Switch the standard output of this process to escapes for characters that it lacks; the standard error does so
    anyway."""
    codecs.register_error(_ESCAPED, _escaped)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_ESCAPED)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end
