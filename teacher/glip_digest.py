"""What decides the answers of a GLIP teacher: its files, and the sizes of its pictures.

In: the digest of a checkpoint and the sizes. Out: the grounder's digest; of a model folder without opening the model,
so that the machine which hands out the work needs neither memory nor time for it.
"""

from __future__ import annotations

import hashlib
import json

from glip.config import GLIPConfig
from glip.model_folder import check_files, description_digest, path_of, read_description
from schemas.recipes import TeacherRecipe


def glip_digest(model_digest: str, config: GLIPConfig, recipe: TeacherRecipe) -> str:
    """The digest of a GLIP grounder whose checkpoint has ``model_digest`` and ``config``."""
    min_size, max_size = recipe.min_size or config.test_min_size, recipe.max_size or config.test_max_size
    sizes = {"grounder": "glip", "model": model_digest, "min_size": min_size, "max_size": max_size}
    return hashlib.sha256(json.dumps(sizes, sort_keys=True).encode()).hexdigest()


def glip_folder_digest(recipe: TeacherRecipe) -> str | None:
    """The same where the checkpoint is a model folder, whose files are checked; None where it is anything else."""
    folder = path_of(recipe.checkpoint)
    if not folder.is_dir() or recipe.checkpoint_sha256 is not None:
        return None
    description = read_description(folder)
    check_files(folder, description)
    return glip_digest(description_digest(description), GLIPConfig.from_dict(description["config"]), recipe)
