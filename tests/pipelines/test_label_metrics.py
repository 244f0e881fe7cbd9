"""What Prometheus scrapes from Ray while a job runs: the counts that the job's own result has."""

from __future__ import annotations

import re
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from labelled_datasets import tars_recipe
from scraped_ray import scraped_ray

from engine.runner import connected
from engine.running.layout import Workers
from pipelines.label import label

pytest.importorskip("opencensus", reason="Ray exports metrics where it is installed as ray[default]")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
]


def scraped(port: int) -> dict[str, float]:
    """The job's metrics at the endpoint, by name with labels that are ours; none before Ray's agent answers."""
    try:
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    except OSError:
        return {}
    found = {}
    for name, labels, value in re.findall(r"^ray_(glip_engine_\w+)\{(.*)\} (\S+)$", text, re.MULTILINE):
        ours = ",".join(re.findall(r'(?:stage|reason)="\w+"', labels))
        found[f"{name}{{{ours}}}"] = float(value)
    return found


def test_the_counts_of_the_job_appear_at_rays_metrics_endpoint(
    web: Any, random_checkpoint: Path, tmp_path: Path
) -> None:
    bad = [("bad.jpg", b"noise"), ("bad.txt", b"a dog")]
    web.tar_of(tmp_path / "web/0.tar", [*web.samples(7), *bad])
    recipe = tars_recipe(tmp_path / "web", random_checkpoint, unit_size=4)
    with scraped_ray() as port, connected(Workers(1)):
        result = label(recipe, tmp_path / "out", workers=1, progress=False)
        deadline = time.monotonic() + 90
        while (found := scraped(port)).get("glip_engine_units_total{}") != 2 and time.monotonic() < deadline:
            time.sleep(0.5)
    assert found["glip_engine_units_total{}"] == 2
    assert found["glip_engine_images_total{}"] == result.images == 8
    assert found["glip_engine_samples_total{}"] == result.samples == 7
    assert found["glip_engine_boxes_total{}"] == result.boxes
    rejects = {name: count for name, count in found.items() if name.startswith("glip_engine_rejects_total")}
    assert list(rejects.values()) == [1]
    assert 'reason="image_unreadable"' in next(iter(rejects))
    assert found["glip_engine_unit_seconds_count{}"] == 2
    assert found["glip_engine_units_left{}"] == 0
    assert 0 < found["glip_engine_utilisation{}"] <= 1
