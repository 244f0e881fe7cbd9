"""What the jobs of `soak_jobs.py` read: pictures with captions, in tars or behind urls.

In: a folder and how many samples. Out: files. No caption comes twice, but its words do: what the parser keeps of new
words is bounded (``engine/phrases.py``), and would hide what is not. Pictures are small, so that it shows what a unit
costs.
"""

from __future__ import annotations

import io
import json
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

TAR, SIDE = 5_000, 64  # samples of a tar, pixels of a picture
WORDS, PICTURES = 500, 100
# What a server (`misbehaving_routes.py`) makes of a hundred urls.
URLS = {"file": 72, "slow": 5, "404": 7, "page": 3, "loop": 3, "hops/2": 3, "noise": 3}
URLS |= {"cut": 1, "reset": 1, "status/503": 1, "hang": 1}


def write_tars(folder: Path, samples: int) -> None:
    """Small pictures with captions, counted beside their tars, so that planning opens none."""
    folder.mkdir()
    shown, told = pictures(), captions()
    for tar, first in enumerate(range(0, samples, TAR)):
        count = min(TAR, samples - first)
        with tarfile.open(folder / f"{tar:05d}.tar", "w") as file:
            for number in range(count):
                for ending, content in (("jpg", shown[number % PICTURES]), ("txt", next(told).encode())):
                    member = tarfile.TarInfo(f"{tar:05d}{number:04d}.{ending}")
                    member.size = len(content)
                    file.addfile(member, io.BytesIO(content))
        stats = {"count": count, "successes": count, "failed_to_download": 0, "failed_to_resize": 0}
        (folder / f"{tar:05d}_stats.json").write_text(json.dumps(stats))


def write_urls(folder: Path, address: str, samples: int) -> Path:
    """A list of urls below ``address`` in ``folder``, and the pictures that some of them lead to in its ``web``."""
    (folder / "web").mkdir()
    for number, content in enumerate(pictures()):
        (folder / "web" / str(number)).write_bytes(content)
    chance = random.Random(0)
    kinds = chance.choices(list(URLS), list(URLS.values()), k=samples)
    with (folder / "urls.jsonl").open("w") as lines:
        for number, (kind, told) in enumerate(zip(kinds, captions(), strict=False)):
            path = f"{kind}/{number % PICTURES}" if kind == "file" else kind
            print(json.dumps({"url": f"{address}/{path}?number={number}", "caption": told}), file=lines)
    return folder / "urls.jsonl"


def captions() -> Iterator[str]:
    """Each of four words of a vocabulary that nobody else uses."""
    chance = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(chance.choices(letters, k=chance.randint(5, 12))) for _ in range(WORDS)]
    while True:
        some = chance.sample(words, 4)
        yield f"a {some[0]} dog with two {some[1]}s beside a {some[2].title()} and a {some[3]}"


def pictures() -> list[bytes]:
    """Of one colour each."""
    chance = random.Random(0)
    return [_picture(tuple(chance.randbytes(3))) for _ in range(PICTURES)]


def _picture(color: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE // 2), color).save(file, "JPEG")
    return file.getvalue()
