"""What is printed and the output has no letter for: an escape stands there, as in JSON, and no command ends by it.

Where the locale is not UTF-8, a caption or a path may have such letters; half a surrogate, of a file's name that is not
UTF-8, has none anywhere.
"""

from __future__ import annotations

import codecs
import io
import json
import sys

_ESCAPED = "glip-engine-escaped"


def escape_what_cannot_be_printed() -> None:
    """From here on, on the standard output of this process; the standard error does so by itself."""
    codecs.register_error(_ESCAPED, _escaped)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_ESCAPED)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end
