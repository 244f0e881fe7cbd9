"""Figures of a run reach TensorBoard, and MLflow where a server is named; a run that goes on goes on there too."""

from __future__ import annotations

import importlib.util
import logging
import os
import resource
import signal
from pathlib import Path

import pytest
from killed_jobs import call_apart
from power_cuts import DiskRecord

from student.boards import MLFLOW_RUN, open_boards
from student.mlflow_client import MLFLOW_URI, fault_in_words

HAS_MLFLOW = importlib.util.find_spec("mlflow") is not None


@pytest.mark.skipif(not HAS_MLFLOW, reason="MLflow is not installed: pip install 'glip-engine[mlflow]'")
@pytest.mark.filterwarnings("ignore")  # MLflow's own, while it is imported
def test_mlflow_holds_parameters_and_every_figure_of_a_run_that_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MLFLOW_URI, (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    out = tmp_path / "student"
    out.mkdir()
    for first in (0, 2):
        with DiskRecord(out) as record:
            boards = open_boards(out, first, {"steps": 4, "mix": "x" * 1000})
        for step in (first + 1, first + 2):
            for board in boards:
                board.show({"loss": 1.0 / step}, step)
        from mlflow import MlflowClient

        run = (out / MLFLOW_RUN).read_text().strip()
        assert {state.get(MLFLOW_RUN) for state in record.states()} <= {None, f"{run}\n".encode()}
        assert MlflowClient().get_run(run).info.status == "RUNNING"
        for board in boards:
            board.close(whole=first == 2)
        assert MlflowClient().get_run(run).info.status == ("FINISHED" if first == 2 else "KILLED")
    found = MlflowClient().get_metric_history(run, "loss")
    assert sorted((one.step, one.value) for one in found) == [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25)]
    data = MlflowClient().get_run(run).data
    assert (data.params["steps"], len(data.params["mix"])) == ("4", 500)


@pytest.mark.skipif(not HAS_MLFLOW, reason="MLflow is not installed: pip install 'glip-engine[mlflow]'")
@pytest.mark.filterwarnings("ignore")
def test_an_mlflow_that_does_not_answer_is_told_of_once_and_the_run_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = (tmp_path / "store").as_uri()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for address, told in (("http://me:secret@127.0.0.1:1", 1), (store, 0), ("http://me:secret@127.0.0.1:1", 1)):
        monkeypatch.setenv(MLFLOW_URI, address)
        boards = open_boards(tmp_path, 0, {"steps": 2})
        for step in (1, 2):
            for board in boards:
                board.show({"loss": 1.0 / step}, step)
        for board in boards:
            board.close(whole=True)
        assert caplog.text.count("MLflow hears no more of this run") == told
        assert "secret" not in caplog.text
        caplog.clear()
    assert capsys.readouterr().out == "", "where nobody wants to see progress, too"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ, "what is ours for a moment is not left behind"


@pytest.mark.skipif(not HAS_MLFLOW, reason="MLflow is not installed: pip install 'glip-engine[mlflow]'")
@pytest.mark.filterwarnings("ignore")
def test_an_address_that_is_none_is_told_of_as_a_server_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(MLFLOW_URI, "nowhere://at/all")
    for board in open_boards(tmp_path, 0, {"steps": 1}):
        board.show({"loss": 1.0}, 1)
        board.close(whole=True)
    assert caplog.text.count("MLflow hears no more of this run") == 1


def _shown_on_a_full_disk(out: Path) -> list[str]:
    """What is told where files end after some bytes, as on a disk that is full."""
    told: list[str] = []
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("student.boards").addHandler(handler)
    (board,) = open_boards(out, 0, {})
    for step in range(1000):
        board.show({"loss": 0.5}, step)
    board.close(whole=True)
    return told


@pytest.mark.parametrize("fault", ["a full disk", "a file of its name"])
def test_event_files_that_cannot_be_written_are_told_of_once_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.delenv(MLFLOW_URI, raising=False)
    if fault == "a file of its name":
        (tmp_path / "tensorboard").write_text("")
    told = call_apart(_shown_on_a_full_disk, tmp_path)
    assert [line.split(":")[0] for line in told] == ["TensorBoard hears no more of this run, whose log has all"]


def test_a_fault_is_one_line_without_the_secrets_of_its_address_whatever_is_in_them() -> None:
    error = OSError("no answer from\nhttp://me:p@ss@host:5000/api nor https://token@other")
    assert fault_in_words(error) == "OSError: no answer from http://host:5000/api nor https://other"


@pytest.mark.skipif(HAS_MLFLOW, reason="MLflow is installed")
def test_a_server_that_nothing_can_reach_for_want_of_mlflow_is_told_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MLFLOW_URI, "http://127.0.0.1:1")
    with pytest.raises(ValueError, match=r"glip-engine\[mlflow\]"):
        open_boards(tmp_path, 0, {})


def test_without_a_server_the_figures_are_in_the_event_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MLFLOW_URI, raising=False)
    (board,) = open_boards(tmp_path, 0, {})
    board.show({"loss": 0.5}, 1)
    board.close(whole=True)
    assert (tmp_path / "tensorboard").is_dir()
    assert not (tmp_path / MLFLOW_RUN).exists()
