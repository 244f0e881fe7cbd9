"""The dashboard of ``deploy/grafana`` asks for what a labelling job exports, for all of it, and Prometheus understands.

What is exported is read from the job's own metrics, and, where Ray exports metrics (``ray[default]``) and a program
``prometheus`` is installed, from a job that Prometheus scrapes.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from labelled_datasets import tars_recipe
from ray_cluster import free_port
from scraped_ray import scraped_ray

from engine.runner import connected
from engine.running.layout import Workers
from engine.running.unit_metrics import UnitMetrics
from pipelines.label import label

FOLDER = Path(__file__).parents[1] / "deploy" / "grafana"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "glip-engine.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
QUESTIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
VARIABLES = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
RAYS_OWN = {"ray_actors": ("Name", "State")}
OF_ALL = ("SessionName", "le")  # labels that Ray and Prometheus give


def exported() -> dict[str, tuple[str, ...]]:
    """Each name that Prometheus finds, with the labels that are ours."""
    import ray.util.metrics as ray_metrics

    endings = {ray_metrics.Counter: "_total", ray_metrics.Histogram: "_bucket", ray_metrics.Gauge: ""}
    metrics = [one for one in vars(UnitMetrics(ray_metrics, 1)).values() if isinstance(one, ray_metrics.Metric)]
    return {f"ray_{one.info['name']}{endings[type(one)]}": tuple(one.info["tag_keys"]) for one in metrics}


def names_in(question: str) -> set[str]:
    return set(re.findall(r"\bray_\w+", question))


def test_the_dashboard_asks_for_every_metric_of_a_job_and_for_no_other() -> None:
    asked = {name for question in QUESTIONS for name in names_in(question)}
    assert asked - set(RAYS_OWN) == set(exported())


def test_labels_are_those_of_their_metric() -> None:
    known = exported() | RAYS_OWN
    for question in QUESTIONS:
        written = " ".join(re.findall(r"by \(([^)]*)\)", question)).replace(",", " ").split()
        written += re.findall(r"(\w+)(?:=~|!=|=)\"", question)
        allowed = {label for name in names_in(question) for label in known[name]} | set(OF_ALL)
        assert set(written) <= allowed, question


def test_what_a_legend_names_is_a_label_of_the_answer() -> None:
    for target in (one for panel in PANELS for one in panel["targets"]):
        kept = " ".join(re.findall(r"by \(([^)]*)\)", target["expr"])).replace(",", " ").split()
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= set(kept)


def test_variables_are_defined_and_every_panel_asks_the_chosen_datasource() -> None:
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(PANELS))) == set(VARIABLES)
    asked = [*PANELS, *(target for panel in PANELS for target in panel["targets"]), VARIABLES["session"]]
    assert all(one["datasource"] == {"type": "prometheus", "uid": "${datasource}"} for one in asked)
    assert VARIABLES["session"]["query"]["query"] == "label_values(ray_glip_engine_units_left, SessionName)"


def test_panels_have_a_place_of_their_own_a_unit_and_a_sentence() -> None:
    for panel in PANELS:
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["description"].endswith(".")
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, "the grid of Grafana has 24 columns"
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for one, other in combinations([panel["gridPos"] for panel in PANELS], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]


# ------------------------------------------------------------------------------------------------ a job that is scraped


@contextmanager
def prometheus_of(metrics_port: int, folder: Path) -> Iterator[str]:
    """The address of a Prometheus with our configuration, which scrapes a Ray node at this port every second."""
    program = shutil.which("prometheus")
    assert program is not None
    configuration = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    configuration["global"]["scrape_interval"] = "1s"
    [ray_nodes] = configuration["scrape_configs"]
    [listed] = ray_nodes["file_sd_configs"]
    listed["files"] = [str(folder / "nodes.json")]
    (folder / "nodes.json").write_text(json.dumps([{"labels": {}, "targets": [f"127.0.0.1:{metrics_port}"]}]))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    own = f"127.0.0.1:{free_port()}"
    arguments = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    log = (folder / "prometheus.log").open("w")
    process = subprocess.Popen([program, *arguments, f"--web.listen-address={own}"], stderr=log)
    try:
        for _ in range(600):
            with suppress(OSError):
                urllib.request.urlopen(f"http://{own}/-/ready", timeout=10).close()
                break
            time.sleep(0.1)
        yield f"http://{own}"
    finally:
        process.terminate()
        process.wait(timeout=60)
        log.close()


def answers(address: str, question: str) -> bool:
    """Whether Prometheus has a number for a panel's question, with the variables as Grafana sets them at first."""
    for name, value in (("session", ".*"), ("window", VARIABLES["window"]["current"]["value"])):
        question = question.replace(f"${name}", value)
    query = urllib.parse.urlencode({"query": question})
    with urllib.request.urlopen(f"{address}/api/v1/query?{query}", timeout=10) as found:
        return any(series["value"][1] != "NaN" for series in json.load(found)["data"]["result"])


@contextmanager
def asked_meanwhile(address: str) -> Iterator[set[str]]:
    """The questions that had no answer so far, from a thread that keeps asking; a while longer where some are left."""
    silent, over = set(QUESTIONS), threading.Event()

    def ask() -> None:
        while silent and not over.wait(0.5):
            silent.difference_update({question for question in silent if answers(address, question)})

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield silent
        asking.join(30)
    finally:
        over.set()
        asking.join()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="no program prometheus")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_prometheus_answers_every_panel_while_a_job_runs(web: Any, random_checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("opencensus", reason="Ray exports metrics where it is installed as ray[default]")
    bad = [("bad.jpg", b"noise"), ("bad.txt", b"a dog")]
    web.tar_of(tmp_path / "web/0.tar", [*web.samples(120), *bad])
    recipe = tars_recipe(tmp_path / "web", random_checkpoint, unit_size=2)
    with (
        scraped_ray() as port,
        prometheus_of(port, tmp_path) as address,
        asked_meanwhile(address) as silent,
        connected(Workers(1)),
    ):
        label(recipe, tmp_path / "out", workers=1, progress=False)
    assert silent == set()
