"""What `soak.py` watches: a labelling job, or a review server, each as long as somebody lets it run.

In: a folder. Out: the command, started, and how many of its units are done. No caption to be labelled comes twice, but
its words do: what the parser keeps of new words is bounded (``engine/phrases.py``), and would hide what is not.
Pictures are small, so that it shows what a unit costs.
"""

from __future__ import annotations

import http.cookiejar
import io
import itertools
import json
import os
import random
import subprocess
import sys
import tarfile
import threading
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from engine.gold import import_gold
from schemas.recipes import ScenesSource

UNIT, TAR, SIDE = 10, 5_000, 64  # samples of a unit and of a tar, pixels of a picture
WORDS = 500
Started = tuple["subprocess.Popen[str]", Callable[[], int]]


def start_label(folder: Path, units: int) -> Started:
    """On Ray, with nano; its units are those that are committed."""
    write_tars(folder / "source", UNIT * units)
    size = [f"teacher.{name}={SIDE}" for name in ("min_size", "max_size")]
    fields = [f"unit_size={UNIT}", "teacher.device=cpu", *size]
    job = start(folder, "label", str(folder / "source"), "--out", str(folder / "out"), *settings(fields))
    return job, lambda: files_in(folder / "out" / "manifests")


def start_serve(folder: Path, units: int) -> Started:
    """Of drawn scenes; its units are the requests of a reviewer who looks, searches and judges without rest."""
    import_gold("scenes", ScenesSource(count=400, seed=1), folder / "human", unit_size=20)
    job = start(folder, "serve", str(folder / "human"), "--reviewer", "soak", stdout=subprocess.PIPE)
    assert job.stdout is not None
    address = next(line.strip() for line in job.stdout if "http://" in line)
    reviewer = Reviewer(address)
    threading.Thread(target=reviewer.work, args=(units,), daemon=True).start()
    return job, lambda: reviewer.asked


JOBS = {"label": start_label, "serve": start_serve}


def start(folder: Path, *words: str, stdout: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    """A command of the product whose temporary files lie in ``folder/tmp``."""
    environment = os.environ | {"TMPDIR": str(folder / "tmp"), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "pipelines.cli", *words]
    return subprocess.Popen(command, stdout=stdout, stderr=subprocess.DEVNULL, text=True, env=environment)


def settings(fields: list[str]) -> list[str]:
    return [word for field in fields for word in ("--set", field)]


# ---------------------------------------------------------------------------------------------------------- the source


def write_tars(folder: Path, samples: int) -> None:
    """Small pictures with captions of new words, counted beside their tars, so that planning opens none."""
    folder.mkdir()
    chance = random.Random(0)
    pictures, words = [picture(chance) for _ in range(100)], [word(chance) for _ in range(WORDS)]
    for tar, first in enumerate(range(0, samples, TAR)):
        count = min(TAR, samples - first)
        with tarfile.open(folder / f"{tar:05d}.tar", "w") as file:
            for number in range(count):
                for ending, content in (("jpg", pictures[number % 100]), ("txt", caption(chance, words).encode())):
                    member = tarfile.TarInfo(f"{tar:05d}{number:04d}.{ending}")
                    member.size = len(content)
                    file.addfile(member, io.BytesIO(content))
        stats = {"count": count, "successes": count, "failed_to_download": 0, "failed_to_resize": 0}
        (folder / f"{tar:05d}_stats.json").write_text(json.dumps(stats))


def word(chance: random.Random) -> str:
    """One that nobody has used."""
    return "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(5, 12)))


def caption(chance: random.Random, words: list[str]) -> str:
    """Of four of the words."""
    some = chance.sample(words, 4)
    return f"a {some[0]} dog with two {some[1]}s beside a {some[2].title()} and a {some[3]}"


def picture(chance: random.Random) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE // 2), tuple(chance.randbytes(3))).save(file, "JPEG")
    return file.getvalue()


# -------------------------------------------------------------------------------------------------------- the reviewer


class Reviewer:
    """A browser, as far as the server can tell."""

    def __init__(self, address: str) -> None:
        self._root = address.partition("/?")[0]
        self.asked = 0
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(jar)
        self._opener.open(address).read()

    def work(self, requests: int) -> None:
        """Search, look at what is found, accept its first box; until the server is gone."""
        with suppress(OSError):
            for number in itertools.count():
                order, phrase = ("dataset", "random", "lowest")[number % 3], ("", "dog", "red")[number // 3 % 3]
                found = self.ask(f"/api/samples?order={order}&phrase={phrase}")["samples"]
                self.ask(f"/api/totals?phrase={phrase}")
                for one in found[number % 7 :: 7]:
                    self.look(one["key"])
                if self.asked > requests:
                    return

    def look(self, key: str) -> None:
        self.ask(f"/api/picture?key={key}&size=small")
        box = self.ask(f"/api/sample?key={key}")["boxes"][0]
        judgement = {"phrase": box["phrase"], "target": box["target"], "verdict": "accepted"}
        self.ask("/api/verdicts", {"key": key, "judgements": [judgement]})

    def ask(self, path: str, body: Any = None) -> Any:
        self.asked += 1
        headers = {"Origin": self._root, "Content-Type": "application/json"} if body else {}
        data = None if body is None else json.dumps(body).encode()
        with self._opener.open(urllib.request.Request(f"{self._root}{path}", data, headers)) as answer:
            content = answer.read()
            return json.loads(content) if answer.headers.get_content_type() == "application/json" else content


def files_in(folder: Path) -> int:
    return len(os.listdir(folder)) if folder.is_dir() else 0
