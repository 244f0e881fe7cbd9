"""How many scenes one core draws, captions and encodes in a second: ``python benchmarks/scenes_rate.py [SCENES]``."""

from __future__ import annotations

import sys
import time

from engine.sources.scenes import render_scene, scene_jpeg
from schemas.recipes import ScenesSource


def main(count: int) -> None:
    """Print the rate over ``count`` scenes."""
    recipe = ScenesSource(seed=1)
    render_scene(0, recipe)
    started = time.process_time()
    size = sum(len(scene_jpeg(render_scene(index, recipe).image)) for index in range(count))
    seconds = time.process_time() - started
    print(f"{count / seconds:.0f} scenes/s, {size / count / 1000:.1f} kB a picture ({count} scenes, CPU time)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
