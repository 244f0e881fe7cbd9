"""Downloads of the source `urls` against a bare asynchronous client, from a local server that misbehaves.

    python benchmarks/urls.py --urls 4000 --concurrency 200 --rounds 3

Both ask the same server (a process of its own) for the same urls with the same concurrency, timeout and number of
redirects, in turns. The bare client is aiohttp alone: get, read, nothing checked, nothing counted but what raised.
Neither tries twice. Prints each round, the ratio of the medians, and what became of the urls, each of which has one
outcome. Exit status 1 where an outcome is not the one that must come.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from engine.sources.urls import Urls
from schemas.recipes import UrlsSource
from schemas.records import Reject

# For a hundred urls: the responses of the server, and the outcome that each must have.
SHARES = {
    "picture": (70, "ok"),
    "slow": (10, "ok"),
    "404": (7, "http_404"),
    "page": (3, "not_an_image"),
    "cut": (3, "cut_short"),
    "loop": (3, "redirect_loop"),
    "hang": (2, "timeout"),
    "drip": (2, "timeout"),
}


def make_urls(port: int, count: int) -> list[str]:
    """Urls of all kinds in the shares above, shuffled."""
    kinds = [kind for kind, (share, _) in SHARES.items() for _ in range(share)]
    urls = [f"http://127.0.0.1:{port}/{kinds[n % 100]}/{n}" for n in range(count)]
    random.Random(0).shuffle(urls)
    return urls


async def bare(urls: list[str], concurrency: int, timeout_s: float, max_redirects: int) -> int:
    """Download with the bare client; returns the number of bodies that could be read."""
    slots, timeout = asyncio.Semaphore(concurrency), aiohttp.ClientTimeout(total=timeout_s)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:

        async def get(url: str) -> int:
            async with slots:
                try:
                    async with session.get(url, max_redirects=max_redirects + 1) as response:
                        return len(await response.read()) > 0
                except (TimeoutError, aiohttp.ClientError):
                    return 0

        return sum(await asyncio.gather(*(get(url) for url in urls)))


def ours(urls: list[str], recipe: UrlsSource) -> Counter[str]:
    """Download the whole list as one unit of the source; returns the outcomes."""
    source = Urls(recipe)
    (ref,) = source.units(len(urls))
    outcomes = source.read(ref)
    assert len(outcomes) == len(urls)
    return Counter(one.reason if isinstance(one, Reject) else "ok" for one in outcomes)


def expected(urls: list[str]) -> Counter[str]:
    return Counter(SHARES[url.split("/")[3]][1] for url in urls)


@contextmanager
def served() -> Iterator[int]:
    """A context with a misbehaving server in a process of its own; gives its port."""
    command = [sys.executable, str(Path(__file__).with_name("misbehaving_server.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield int(process.stdout.readline())
        process.stdin.close()


def measure(options: argparse.Namespace, port: int, folder: Path) -> dict[str, object]:
    urls = make_urls(port, options.urls)
    listed = folder / "list.jsonl"
    listed.write_text("".join(json.dumps({"url": url, "caption": "a dog"}) + "\n" for url in urls))
    recipe = UrlsSource(
        uri=str(listed),
        concurrency=options.concurrency,
        concurrency_per_host=options.concurrency,
        timeout_s=options.timeout_s,
        retries=0,
        allow_private=True,
    )
    bare_s, ours_s, outcomes = [], [], list[Counter[str]]()
    for number in range(options.rounds):
        started = time.perf_counter()
        read = asyncio.run(bare(urls, options.concurrency, options.timeout_s, recipe.max_redirects))
        bare_s.append(time.perf_counter() - started)
        started = time.perf_counter()
        outcomes.append(ours(urls, recipe))
        ours_s.append(time.perf_counter() - started)
        rates = f"bare {len(urls) / bare_s[-1]:.0f} urls/s ({read} bodies), ours {len(urls) / ours_s[-1]:.0f} urls/s"
        print(f"round {number + 1}: {rates}", flush=True)
    return {
        "urls": len(urls),
        "concurrency": options.concurrency,
        "bare_urls_per_s": round(len(urls) / statistics.median(bare_s), 1),
        "ours_urls_per_s": round(len(urls) / statistics.median(ours_s), 1),
        "ratio": round(statistics.median(bare_s) / statistics.median(ours_s), 3),
        "outcomes": dict(outcomes[-1].most_common()),
        "every_url_as_expected": all(found == expected(urls) for found in outcomes),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--urls", type=int, default=4000)
    parser.add_argument("--concurrency", type=int, default=200)
    parser.add_argument("--timeout-s", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with served() as port, tempfile.TemporaryDirectory() as folder:
        result = measure(options, port, Path(folder))
    print(json.dumps(result, indent=1))
    return 0 if result["every_url_as_expected"] else 1


if __name__ == "__main__":
    sys.exit(main())
