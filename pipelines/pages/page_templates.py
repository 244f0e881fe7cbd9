"""What every page of ours is made from: the templates, the style sheet, the scripts, and the policy that guards them.

In: names of files in ``pipelines/templates``. Out: text. The report inlines these files, so that it opens from disk
with no network; the review server serves its own, ``review*``, and two that it shares with the report: ``style.css``
(colours in light and dark, type, cards, forms, tables, pictures with boxes) and ``theme.js``, which is in the head so
that no page flashes. Scripts share one global name, ``glip``.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup, escape

from pipelines.console.number_formats import number_filters

HEAD_SCRIPTS = ("theme.js",)
# In JSON these are the same text, and in HTML no "</script>", no comment and no line separator of older JavaScript.
_ESCAPED = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&'\u2028\u2029"}


@cache
def environment() -> jinja2.Environment:
    """Templates in which all text is escaped, and a name that is not there is an error; numbers have filters."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("pipelines", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(number_filters(), coded=coded, breakable=breakable)
    return templates


def coded(text: str) -> Markup:
    """Text in which what stands between backticks is code; everything in it is escaped."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def breakable(name: str) -> Markup:
    """A name such as ``phrase_recall@1:head`` that may go on in the next line after each of its parts."""
    return Markup(re.sub("([_@:/])", r"\1<wbr>", str(escape(name))))


def asset(name: str) -> str:
    """The text of a file in ``pipelines/templates``; ``name`` is never of the data."""
    return resources.files("pipelines").joinpath("templates", name).read_text(encoding="utf-8")


def page_assets(kind: str, scripts: Sequence[str], *, with_figures: bool) -> dict[str, Any]:
    """What ``page.html.j2`` asks for beside the blocks: style, ``scripts``, the plotting library where there are
    figures, and the policy's list of all of them."""
    head, body = ([asset(name) for name in names] for names in (HEAD_SCRIPTS, scripts))
    library = [_plotting_library()] if with_figures else []
    return {
        "kind": kind,
        "style": Markup(asset("style.css") + asset("report.css")),
        "head_scripts": [Markup(script) for script in head],
        "scripts": [Markup(script) for script in body],
        "packed_library": packed_library() if with_figures else "",
        "script_sources": Markup(" ".join(digest_source(script) for script in [*head, *body, *library])),
    }


@cache
def packed_library() -> str:
    """The plotting library as gzip in base64, less than half of it; ``plots.js`` unpacks it."""
    return base64.b64encode(gzip.compress(_plotting_library().encode(), mtime=0)).decode()


def _plotting_library() -> str:
    from plotly.offline import get_plotlyjs  # the review server has no figure, and starts sooner without

    library: str = get_plotlyjs()
    return library


def digest_source(script: str) -> str:
    """What a content security policy allows an inline script by: its digest, so that no other script runs."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def embedded_json(value: Any) -> Markup:
    """JSON to stand inside ``<script type="application/json">``, whatever text is in it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.translate(_ESCAPED))
