"""The making of the shipped caption parser and nano model; it works only from a checkout."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"
DATA = Path(os.environ.get("GLIP_ENGINE_DATA", ROOT.parent / "shared" / "data"))
