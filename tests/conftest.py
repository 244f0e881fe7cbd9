"""Marks that skip by themselves, each with its reason."""

from __future__ import annotations

import importlib.util
import os
import secrets
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Tests meet servers of their own on loopback: never the user's cluster, experiment server, store, cache or proxy.
THE_USERS = ("RAY_ADDRESS", "MLFLOW_", "AWS_", "FSSPEC_", "GLIP_ENGINE_CACHE", "GLIP_ENGINE_DEFORM_CONV")
for _name in list(os.environ):
    if _name.startswith(THE_USERS) or _name.lower().endswith("_proxy"):
        del os.environ[_name]
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # where there is none, Ray writes one into the home
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test asks the network; read when huggingface_hub is first imported
# The tensors of tests are too small to share: threads that wait for each other cost more than they give.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is first imported, here and in processes of tests
if importlib.util.find_spec("triton"):
    import torch

    if not torch.cuda.is_available():
        os.environ.setdefault("TRITON_INTERPRET", "1")  # kernels run interpreted; read when triton is first imported
DATA = Path(os.environ.get("GLIP_ENGINE_DATA", Path(__file__).parents[2] / "shared" / "data"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")


def pytest_configure(config: pytest.Config) -> None:
    """Examples that hypothesis draws are the same every time, and new ones where slow tests run; a busy machine is no
    failure."""
    from hypothesis import HealthCheck, settings

    busy: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
    settings.register_profile("same", derandomize=True, **busy)
    settings.register_profile("new", **busy)
    settings.load_profile("new" if config.getoption("--slow") else "same")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        reason = _reason_to_skip(config, item)
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


def _reason_to_skip(config: pytest.Config, item: pytest.Item) -> str | None:
    if item.get_closest_marker("slow") and not config.getoption("--slow"):
        return "slow; run with --slow"
    if item.get_closest_marker("data") and not DATA.is_dir():
        return f"no data at {DATA}; set GLIP_ENGINE_DATA"
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            return "no CUDA device"
    return None


@pytest.fixture(scope="session", autouse=True)
def _as_into_a_pipe() -> Iterator[None]:
    """Commands print as into a pipe, which they are tested on, whatever width and colours CIs ask for."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="module", autouse=True)
def _sigterm_as_it_was() -> Iterator[None]:
    """The handler that Ray leaves behind makes of SIGTERM a failure of one test, instead of the end of the run."""
    found = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, found)


@pytest.fixture
def data_folder() -> Path:
    """The folder of real photos, captions and treebanks; use with the mark ``data``."""
    return DATA


@pytest.fixture
def fixtures_folder() -> Path:
    """The folder of the model's published fixtures, beside the data; use with the mark ``data``."""
    return DATA.parent / "glip"


WORDS = ["a brown dog and two cats on the red sofa, a man with a skateboard beside a car in a field of flowers"]


@pytest.fixture(scope="session")
def random_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GLIP small enough for any test, with random weights and a bias that gives it many boxes of low score."""
    import dataclasses

    import torch

    from glip.checkpoint import save_model
    from glip.config import GLIPConfig
    from glip.model import GLIP
    from glip.tokens import train_tokenizer

    tokenizer = train_tokenizer(WORDS, 200)
    small = {"swin_embed_dim": 8, "swin_depths": (1, 1, 1, 1), "swin_heads": (1, 1, 1, 1), "swin_window": 4}
    head = {"channels": 16, "head_layers": 1, "fusion_width": 16, "fusion_heads": 2, "head_norm_groups": 2}
    text = {"text_width": 16, "text_layers": 1, "text_heads": 2, "text_intermediate": 16, "max_tokens": 64}
    sizes = {"test_min_size": 64, "test_max_size": 96, "bucket_sides": (64, 96), "max_boxes_per_image": 20}
    vocabulary = {"vocabulary_size": tokenizer.vocabulary_size}
    config = dataclasses.replace(GLIPConfig.nano(), **small, **head, **text, **sizes, **vocabulary)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GLIP(config)
        torch.nn.init.constant_(model.rpn.head.bias0, -1.0)
    return save_model(tmp_path_factory.mktemp("checkpoint") / "random", model, tokenizer, {})


def jpeg(number: int = 0, width: int = 80, height: int = 64) -> bytes:
    """A small picture; another number is another picture."""
    import io
    import random

    from PIL import Image

    small = Image.frombytes("RGB", (5, 4), random.Random(number).randbytes(60))
    file = io.BytesIO()
    small.resize((width, height)).save(file, "JPEG", quality=80)
    return file.getvalue()


def tar_of(path: Path, members: list[tuple[str, bytes]]) -> Path:
    """A tar of plain files, in order, under whatever names."""
    import io
    import tarfile

    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


CAPTIONS = ("A brown dog and two cats.", "A man with a skateboard beside a red car.", "Flowers in a field.")


def web_samples(count: int, first: int = 0) -> list[tuple[str, bytes]]:
    """Members of ``count`` good samples in the layout of img2dataset; sizes and captions vary."""
    members: list[tuple[str, bytes]] = []
    for number in range(first, first + count):
        picture = jpeg(number, *((80, 64), (64, 80), (120, 60))[number % 3])
        members += [(f"{number:09d}.jpg", picture), (f"{number:09d}.txt", CAPTIONS[number % 3].encode())]
    return members


class WebMaker:
    """Makes sources that look as if they came from the web."""

    jpeg = staticmethod(jpeg)
    tar_of = staticmethod(tar_of)
    samples = staticmethod(web_samples)


@pytest.fixture(scope="session")
def web() -> type[WebMaker]:
    """What makes tars as from the web, good and bad."""
    return WebMaker


@pytest.fixture
def bad_server(tmp_path: Path) -> Iterator[Any]:
    """A web server on loopback that misbehaves as asked (``benchmarks/misbehaving_server.py``); its ``root`` is a
    folder to put files into."""
    from misbehaving_server import MisbehavingServer

    (tmp_path / "served").mkdir()
    with MisbehavingServer(tmp_path / "served").in_a_thread() as server:
        yield server


@pytest.fixture(scope="session")
def _s3_server() -> Iterator[str]:
    """The address of a real S3 API on loopback: one for all tests, since each takes half a second to stop."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_bucket(_s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """``s3://bucket``, empty, of a real S3 API, which every client of this process and its children speaks to."""
    s3fs = pytest.importorskip("s3fs")
    settings = {"AWS_ENDPOINT_URL": _s3_server, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "x"}
    for name, value in {**settings, "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    urllib.request.urlopen(urllib.request.Request(f"{_s3_server}/moto-api/reset", method="POST")).close()
    s3fs.S3FileSystem().mkdir("bucket")
    yield "s3://bucket"
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="session")
def write_calibration() -> Any:
    """Writes a calibration by hand: of each group named, ``(bound, lowest score)`` pairs; the others reach nothing."""
    return _write_calibration


def _write_calibration(
    path: Path, teacher: str, bars: dict[str, list[tuple[float, float]]], frequencies: dict[str, str] | None = None
) -> None:
    from schemas.calibration import BOX_SIZES, FREQUENCIES, Calibration

    groups = []
    for name in (f"{frequency}/{size}" for frequency in FREQUENCIES for size in BOX_SIZES):
        frequency, _, size = name.partition("/")
        pairs = bars.get(name, [])
        point = {"boxes": 9, "pictures": 9}
        points = [{**point, "min_score": score, "precision": bound, "lower_bound": bound} for bound, score in pairs]
        evidence = {"boxes": 9, "right": 5, "pictures": 9, "scores": [0.0], "precision": [0.5]}
        groups.append({"frequency": frequency, "size": size, **evidence, "points": points})
    half = {"error": None, "bins": []}
    check = {"pictures_fitted": 1, "pictures_held_out": 1, "boxes_held_out": 0, "targets": []}
    document = Calibration.model_validate(
        {
            "teacher_digest": teacher,
            "precision": 0.5,
            "made_from": {"human": "digest-of-human"},
            "min_iou": 0.5,
            "frequencies": frequencies or {},
            "groups": groups,
            "held_out": {**check, "raw": half, "calibrated": half},
        }
    )
    path.write_text(document.model_dump_json())
