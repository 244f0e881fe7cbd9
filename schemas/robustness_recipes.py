"""How it is measured whether a grounder reads the caption that it is given."""

from __future__ import annotations

from pydantic import Field

from schemas.label_recipes import TeacherRecipe
from schemas.recipe_files import Recipe


class RobustnessRecipe(Recipe):
    """Boxes are counted under a picture's own caption, under another picture's, and under a blank one."""

    teacher: TeacherRecipe = TeacherRecipe()
    min_score: float = Field(default=0.5, ge=0, lt=1)
    """Boxes with a lower score are ignored."""
    limit: int | None = Field(default=None, gt=0)
    """Use only the first so many samples."""
