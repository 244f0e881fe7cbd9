"""Files by name: a real `huggingface_hub` client against a small hub on loopback, each in a process of its own, since
the client reads its environment once."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from glip.checkpoint import load_model
from glip.config import GLIPConfig
from glip.hub import HubFile, fetch
from glip.model import GLIP
from glip.published import PUBLISHED, VOCABULARY, PublishedModel
from glip.tokens import PromptTokenizer

ROOT = Path(__file__).parents[2]
REVISION = "0123456789abcdef0123456789abcdef01234567"
FETCH = """
import json, sys
from glip.hub import HubFile, fetch
try:
    print("path", fetch(HubFile(**json.loads(sys.argv[1])), otherwise="give its path"))
except (ValueError, FileNotFoundError) as error:
    print(type(error).__name__, error)
"""
LOAD = """
import json, sys
from glip.checkpoint import load_model
from glip.config import GLIPConfig
from glip.hub import HubFile
from glip.published import PUBLISHED, PublishedModel
config, file, vocabulary = (json.loads(argument) for argument in sys.argv[1:])
PUBLISHED["glip-small"] = PublishedModel(GLIPConfig.from_dict(config), HubFile(**file))
import glip.checkpoint
glip.checkpoint.VOCABULARY = HubFile(**vocabulary)
print(load_model("glip-small").digest)
"""


@dataclass
class Hub:
    """What the server has, what it was asked, and how much of a file it sends before it hangs up."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    cut_after: int | None = None
    address: str = ""

    def add(self, name: str, content: bytes, revision: str = REVISION) -> HubFile:
        self.files[f"/someone/models/resolve/{revision}/{name}"] = content
        sha256 = hashlib.sha256(content).hexdigest()
        return HubFile(repository="someone/models", name=name, revision=REVISION, sha256=sha256, max_bytes=len(content))


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            content = hub.files.get(self.path)
            if content is None:
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", REVISION)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if with_body:
                self.wfile.write(content[: hub.cut_after])

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    yield hub
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass(frozen=True)
class Client:
    """Runs a script as a user of the hub, with a cache of its own."""

    home: Path
    endpoint: str

    def __call__(self, script: str, *arguments: object, offline: bool = False) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        environment |= {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(self.home), "HF_HUB_OFFLINE": str(int(offline))}
        environment |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", script, *(json.dumps(argument) for argument in arguments)],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def fetch(self, file: HubFile, *, offline: bool = False) -> tuple[str, str]:
        """``path`` or the kind of error, and the path or the message."""
        kind, text = self(FETCH, asdict(file), offline=offline).split(" ", 1)
        return kind, text


@pytest.fixture
def client(tmp_path: Path, hub: Hub) -> Client:
    return Client(tmp_path / "home", hub.address)


def test_a_file_is_fetched_once_and_then_found_without_a_network(hub: Hub, client: Client) -> None:
    file = hub.add("vocab.txt", b"some words")
    kind, path = client.fetch(file)
    assert kind == "path"
    assert Path(path).read_bytes() == b"some words"
    assert f"GET /someone/models/resolve/{REVISION}/vocab.txt" in hub.asked
    asked = len(hub.asked)
    assert client.fetch(file, offline=True) == ("path", path)
    assert len(hub.asked) == asked


def test_other_bytes_than_the_digest_says_are_refused_again_and_again(hub: Hub, client: Client) -> None:
    file = hub.add("vocab.txt", b"some words")
    hub.add("vocab.txt", b"some Words")
    for _ in range(2):
        kind, message = client.fetch(file)
        assert kind == "ValueError"
        assert f"wanted {file.sha256}" in message
        assert "Delete" in message


def test_a_download_that_breaks_off_is_no_file(hub: Hub, client: Client) -> None:
    file = hub.add("model.pth", bytes(100_000))
    hub.cut_after = 60_000
    kind, message = client.fetch(file)
    assert kind == "FileNotFoundError"
    assert "could not be downloaded" in message
    hub.cut_after = None
    assert client.fetch(file)[0] == "path"


def test_a_file_that_is_too_large_is_not_read(hub: Hub, client: Client) -> None:
    file = hub.add("vocab.txt", b"some words")
    kind, message = client.fetch(HubFile(**{**asdict(file), "max_bytes": 4}))
    assert kind == "ValueError"
    assert "10 bytes, at most 4" in message


@pytest.mark.parametrize("offline", [True, False])
def test_a_file_that_is_not_to_be_had_says_what_to_put_where(hub: Hub, client: Client, offline: bool) -> None:
    file = HubFile(repository="someone/models", name="glip.pth", revision=REVISION, sha256="0" * 64, max_bytes=1)
    kind, message = client.fetch(file, offline=offline)
    assert kind == "FileNotFoundError"
    for part in ("glip.pth of someone/models", str(client.home), f"--revision {REVISION}", "and give its path"):
        assert part in message
    assert bool(hub.asked) != offline


def test_without_a_known_digest_nothing_is_downloaded() -> None:
    file = HubFile(repository="someone/models", name="glip.pth", revision=None, sha256=None, max_bytes=1)
    with pytest.raises(ValueError, match=r"https://huggingface.co/someone/models/blob/main/glip.pth and pass it"):
        fetch(file, otherwise="give its path")
    with pytest.raises(ValueError, match="64 hexadecimal digits, not 'abc'"):
        fetch(file, "abc", otherwise="give its path")


def test_published_names_ask_for_a_digest_and_say_that_a_path_works() -> None:
    for name in ("glip-t", "glip-l"):
        with pytest.raises(ValueError, match=f"--sha256.*give its path in place of '{name}'"):
            load_model(name)


@pytest.mark.data
def test_the_vocabulary_of_bert_is_pinned_by_its_content(data_folder: Path) -> None:
    content = (data_folder / "wordpiece" / "vocab.txt").read_bytes()
    assert hashlib.sha256(content).hexdigest() == VOCABULARY.sha256
    assert len(content) == VOCABULARY.max_bytes


def test_a_model_loads_by_name_and_takes_its_vocabulary_from_the_hub(
    hub: Hub,
    client: Client,
    tmp_path: Path,
    exact_model: GLIP,
    tokenizer: PromptTokenizer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = {"model": {f"module.{key}": value for key, value in exact_model.state_dict().items()}, "optimizer": {}}
    torch.save(content, tmp_path / "small.pth")
    weights = hub.add("small.pth", (tmp_path / "small.pth").read_bytes())
    vocabulary = hub.add("tokenizer.json", tokenizer.to_json().encode())
    arguments = (exact_model.config.to_dict(), asdict(weights), asdict(vocabulary))
    digest = client(LOAD, *arguments)
    assert len(hub.asked) > 0
    assert client(LOAD, *arguments, offline=True) == digest

    (tmp_path / "tokenizer.json").write_text(tokenizer.to_json())
    monkeypatch.setitem(PUBLISHED, "glip-small", PublishedModel(exact_model.config, weights))
    assert load_model(tmp_path / "small.pth").digest == digest, "by path it is the same model"


def test_the_published_names_are_the_two_released_sizes() -> None:
    assert PUBLISHED["glip-t"].config == GLIPConfig.tiny()
    assert PUBLISHED["glip-l"].config == GLIPConfig.large()
