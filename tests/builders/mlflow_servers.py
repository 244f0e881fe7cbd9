"""A real MLflow for tests: a folder of it, or a server on loopback, where a program that can serve is named.

The extra of this project, mlflow-skinny, is a client. ``GLIP_ENGINE_MLFLOW`` names the program ``mlflow`` of a whole
installation, which may be another one than this.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = os.environ.get("GLIP_ENGINE_MLFLOW")
START_S = 180.0


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """The address of a server whose database and artifacts are in ``folder``; it is stopped at the end."""
    assert PROGRAM is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files")]
    command = [PROGRAM, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *places]
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTHON"))}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=kept | settings, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait(f"http://127.0.0.1:{port}", server, folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, signal.SIGTERM)  # of the session that was started above
            server.wait(60)


def _wait(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until and server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"MLflow's server has not answered: {log.read_text()[-2000:]}")


def shown(client: Any, name: str) -> dict[str, Any]:
    """MLflow's versions by our number, each once."""
    found = client.search_model_versions(f"name = '{name}'")
    versions = {one.tags["glip_engine.version"]: one for one in found}
    assert len(versions) == len(found)
    return versions


def champion(client: Any, name: str) -> str:
    return str(client.get_model_version_by_alias(name, "champion").tags["glip_engine.version"])
