"""A registry's mirror in a real MLflow: it follows every move, is caught up, and fails nothing."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from mlflow_servers import PROGRAM, champion, mlflow_server, shown
from registered_versions import add, digest

from engine.artifacts import Store
from engine.registry import Registry
from pipelines.cli import main
from pipelines.mirror import mirror
from pipelines.registry import promote, rollback
from student.mlflow_client import experiment_of_ours

HAS_MLFLOW = importlib.util.find_spec("mlflow") is not None
pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own, while it is imported


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if PROGRAM is None:
        pytest.skip("GLIP_ENGINE_MLFLOW names no program `mlflow` that can serve")
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as address:
        yield address


@pytest.fixture(params=["folder", "server"])
def mlflow(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of MLflow as the environment names it."""
    if not HAS_MLFLOW:
        pytest.skip("MLflow is not installed: pip install 'glip-engine[mlflow]'")
    address = (tmp_path / "mlflow").as_uri() if request.param == "folder" else request.getfixturevalue("server")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    from mlflow import MlflowClient

    return MlflowClient()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A registered model of the test's own: all share one server."""
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name)


def test_versions_are_shown_with_digest_parents_figures_and_card_and_asking_again_adds_nothing(
    mlflow: Any, name: str, tmp_path: Path
) -> None:
    registry = Registry(tmp_path / "registry")
    add(registry, "one")
    entry = add(registry, "two")
    first = mirror(registry.uri, model=name, progress=False)
    assert (first.added, first.champion, first.problem) == ([1, 2], 2, None)
    second = shown(mlflow, name)["2"]
    assert second.tags == {
        "glip_engine.version": "2",
        "glip_engine.checkpoint": f"registry:{registry.uri}@2",
        "glip_engine.model_digest": digest("two"),
        "glip_engine.manifest_sha256": entry.manifest_sha256,
        "glip_engine.replaces": "1",
        "glip_engine.parents": digest("pseudo-two"),
        "glip_engine.promoted_by": entry.who,
        "glip_engine.promoted_at": entry.when,
        "metric.held-out.phrase_recall_1_tail": "0.75",
    }
    assert second.description.startswith("# The model two\n")
    assert f"- dataset two/pseudo `{digest('pseudo-two')[:12]}`" in second.description

    again = mirror(registry.uri, progress=False)
    assert (again.added, again.champion) == ([], 2)
    assert set(shown(mlflow, name)) == {"1", "2"}
    experiment = mlflow.get_experiment_by_name("glip-engine").experiment_id
    runs = mlflow.search_runs([experiment], f"tags.`glip_engine.manifest_sha256` = '{entry.manifest_sha256}'")
    assert [run.info.status for run in runs] == ["FINISHED"]


def test_an_upload_that_a_killed_process_began_is_gone_on_with(mlflow: Any, name: str, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    manifest = add(registry, "begun").manifest_sha256
    experiment = experiment_of_ours(mlflow)
    begun = mlflow.create_run(experiment, tags={"glip_engine.manifest_sha256": manifest}).info.run_id
    mirror(registry.uri, model=name, progress=False)
    assert shown(mlflow, name)["1"].run_id == begun
    assert mlflow.get_run(begun).info.status == "FINISHED"
    assert "model.safetensors" in {Path(one.path).name for one in mlflow.list_artifacts(begun, "model")}


def test_the_champion_is_what_the_registry_has_and_its_files_come_out_whole(
    mlflow: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.artifacts import download_artifacts

    monkeypatch.chdir(tmp_path)
    registry = Registry("registry")
    add(registry, "one")
    mirror(registry.uri, model=name, progress=False)
    assert shown(mlflow, name)["1"].tags["glip_engine.checkpoint"] == f"registry:{tmp_path}/registry@1"
    copy = Path(download_artifacts(f"models:/{name}@champion", dst_path=str(tmp_path / "copy")))
    for file in registry.version(1).files:
        assert (copy / file.name).read_bytes() == (Path(registry.folder(1)) / file.name).read_bytes()


def test_commands_that_move_the_pointer_move_the_alias(
    mlflow: Any, name: str, tmp_path: Path, random_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = str(tmp_path / "registry")
    assert main(["promote", str(random_checkpoint), "--registry", uri]) == 0
    assert main(["mirror", uri, "--model", name]) == 0
    assert f"MLflow's model '{name}': versions added: 1; champion is version 1" in capsys.readouterr().out
    moved = promote("nano", uri, force="for the test", progress=False)
    assert moved.mirror is not None
    assert (moved.mirror.added, champion(mlflow, name)) == ([2], "2")
    assert shown(mlflow, name)["2"].tags["glip_engine.forced"] == "for the test"
    assert "phrase grounding" in shown(mlflow, name)["2"].description
    capsys.readouterr()
    assert main(["rollback", uri, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["mirror"]
    assert (told["champion"], told["problem"], champion(mlflow, name)) == (1, None, "1")


def test_a_move_stands_where_mlflow_is_down_and_the_next_one_makes_up_for_it(
    mlflow: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = Registry(tmp_path / "registry")
    for word in ("one", "two"):
        add(registry, word)
    mirror(registry.uri, model=name, progress=False)
    with monkeypatch.context() as away:
        away.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:1")
        away.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        moved = rollback(registry.uri, progress=False)
        assert main(["mirror", registry.uri]) == 1
    assert (moved.version, champion(mlflow, name)) == (1, "2")
    assert moved.mirror is not None
    assert moved.mirror.problem is not None
    told = capsys.readouterr().out
    assert f"lags behind {registry.uri}" in told
    assert f"glip-engine mirror {registry.uri}" in told
    assert "secret" not in told + moved.mirror.problem
    add(registry, "three")
    assert rollback(registry.uri, to=2, progress=False).mirror == mirror(registry.uri, progress=False).model_copy(
        update={"added": [3]}
    )
    assert (champion(mlflow, name), set(shown(mlflow, name))) == ("2", {"1", "2", "3"})


def test_a_model_of_another_registry_or_of_none_is_left_alone(mlflow: Any, name: str, tmp_path: Path) -> None:
    for folder in ("ours", "theirs"):
        add(Registry(tmp_path / folder), "one")
    mirror(tmp_path / "theirs", model=name, progress=False)
    mlflow.create_registered_model(f"{name}-by-hand")
    for model, expected in ((name, f"the mirror of {tmp_path}/theirs"), (f"{name}-by-hand", "no mirror of a registry")):
        refused = mirror(tmp_path / "ours", model=model, progress=False)
        assert expected in (refused.problem or "")
    with pytest.raises(ValueError, match="has no mirror; --model NAME"):
        mirror(tmp_path / "ours", progress=False)
    assert champion(mlflow, name) == "1"


def test_a_damaged_version_is_passed_over_and_the_others_are_shown(mlflow: Any, name: str, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    for word in ("one", "two", "three"):
        add(registry, word)
    (Path(registry.folder(2)) / "model.safetensors").write_bytes(b"flipped")
    done = mirror(registry.uri, model=name, progress=False)
    assert (done.added, done.champion) == ([1, 3], 3)
    assert "version 2 is not in the mirror" in done.passed_over[0]
    (Path(registry.folder(3)) / "README.md").unlink()
    add(registry, "four")
    (Path(registry.folder(4)) / "README.md").unlink()
    lags = mirror(registry.uri, progress=False)
    assert "README.md is missing" in (lags.problem or "")
    assert champion(mlflow, name) == "3", "what is damaged is nobody's champion"


def test_processes_that_mirror_at_once_show_each_version_once(mlflow: Any, name: str, tmp_path: Path) -> None:
    if not mlflow.tracking_uri.startswith("http"):
        pytest.skip("MLflow's folders are not made for two writers")
    registry = Registry(tmp_path / "registry")
    for word in ("one", "two"):
        add(registry, word)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: mirror(registry.uri, model=name, progress=False), range(4)))
    assert [one.problem for one in done] == [None] * 4
    assert (set(shown(mlflow, name)), champion(mlflow, name)) == ({"1", "2"}, "2")


def test_of_a_registry_in_an_object_store_mlflow_gets_the_address_and_no_copy(
    mlflow: Any, name: str, s3_bucket: str
) -> None:
    registry = Registry(f"{s3_bucket}/models")
    add(registry, "one")
    assert mirror(registry.uri, model=name, progress=False).added == [1]
    version = shown(mlflow, name)["1"]
    assert (version.source, version.run_id or "") == (f"{s3_bucket}/models/versions/000001", "")


# ------------------------------------------------------------------------------------------------- without an MLflow


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing says where MLflow is."""
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(variable, raising=False)


def mirrored(folder: Path, model: str = "m") -> Registry:
    registry = Registry(folder)
    add(registry, "one")
    Store(folder).write("mirror.json", f'{{"mlflow_model": "{model}"}}'.encode())
    return registry


def test_a_shell_that_does_not_know_where_mlflow_is_moves_the_pointer_and_says_so(
    nowhere: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = mirrored(tmp_path / "registry")
    add(registry, "two")
    moved = rollback(registry.uri, progress=False)
    assert (moved.version, capsys.readouterr().out) == (1, "")
    assert moved.mirror is not None
    assert "MLFLOW_TRACKING_URI (or MLFLOW_REGISTRY_URI) is not set here" in (moved.mirror.problem or "")


def test_a_mirror_that_could_not_be_made_is_not_told_as_one_that_lags_behind(
    nowhere: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = Registry(tmp_path / "registry")
    add(registry, "one")
    assert mirror(registry.uri, model="glip").problem is not None
    told = capsys.readouterr().out
    assert told.startswith(f"MLflow's model 'glip' is not made the mirror of {registry.uri}: MLFLOW_TRACKING_URI (or")
    assert not registry.store.exists("mirror.json"), "so no promotion will make up for it"


@pytest.mark.skipif(HAS_MLFLOW, reason="MLflow is installed")
def test_without_mlflow_it_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert "glip-engine[mlflow]" in (mirror(mirrored(tmp_path).uri, progress=False).problem or "")


def test_a_setting_that_is_damaged_stops_no_rollback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry = mirrored(tmp_path, model="../elsewhere")
    add(registry, "two")
    moved = rollback(registry.uri, progress=False)
    assert (moved.version, capsys.readouterr().out) == (1, "")
    assert "mirror.json is damaged" in ((moved.mirror and moved.mirror.problem) or "")
    assert rollback(registry.uri, to=2).mirror == moved.mirror
    assert "its mirror is not looked at" in capsys.readouterr().out


def test_a_registry_without_versions_has_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no version to show"):
        mirror(tmp_path, model="m", progress=False)
