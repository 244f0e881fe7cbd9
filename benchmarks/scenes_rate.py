"""How many scenes one core draws, captions and encodes in a second: ``python benchmarks/scenes_rate.py [1000]``."""

from __future__ import annotations

import argparse
import time

from engine.sources.scenes import render_scene, scene_jpeg
from schemas.recipes import ScenesSource


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", type=int, nargs="?", default=1000)
    count = parser.parse_args().scenes
    recipe = ScenesSource(seed=1)
    render_scene(0, recipe)
    started = time.process_time()
    size = sum(len(scene_jpeg(render_scene(index, recipe).image)) for index in range(count))
    seconds = time.process_time() - started
    print(f"{count / seconds:.0f} scenes/s, {size / count / 1000:.1f} kB a picture ({count} scenes, CPU time)")


if __name__ == "__main__":
    main()
