"""How what ships with the project was made: the caption parser and the model nano. From a checkout alone."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"
DATA = Path(os.environ.get("GLIP_ENGINE_DATA", ROOT.parent / "shared" / "data"))
