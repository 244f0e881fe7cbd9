"""How near is a near duplicate? Recall of the perceptual hash on changed photos, and its false pairs, by distance.

    python benchmarks/near_duplicates.py                    # on the photos of GLIP_ENGINE_DATA (default ../shared/data)
    python benchmarks/near_duplicates.py --millions 10      # the search itself, on so many million hashes

The first prints, by the distance that is allowed, how many pairs of different photos are taken for one, and for each
change of a photo the share of photos that are known again. The photos of "the web" are compared with those of
`photos/val`, which are other pictures, and all photos with each other. No annotation is read. The second makes hashes,
half of them spread evenly and half crowded as those of photos are, hides near duplicates among them, and says how long
the search takes, how much memory, and that every hidden one is found.
"""

from __future__ import annotations

import argparse
import io
import tarfile
import time
from collections.abc import Callable, Iterator

import numpy as np
from own_process import peak_mib
from PIL import Image, ImageDraw, ImageOps
from real_data import real_data

from engine.filtering.image_hash import FINE_FACTOR, SHARED_FACTOR, perceptual_hash, words_of
from engine.filtering.near_duplicates import near_pairs
from schemas.recipes import DEFAULT_DISTANCE

DISTANCES = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12)
BEYOND = 1 << 10  # larger than any distance
EVERY = 4  # one photo in so many is changed; all are hashed


def encoded(image: Image.Image, image_format: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def scaled(factor: float) -> Callable[[Image.Image], bytes]:
    def change(image: Image.Image) -> bytes:
        size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        return encoded(image.resize(size, Image.Resampling.BICUBIC), quality=85)

    return change


def cropped(share: float) -> Callable[[Image.Image], bytes]:
    """A change that crops ``share`` of the width and of the height at each side."""

    def change(image: Image.Image) -> bytes:
        x, y = round(image.width * share), round(image.height * share)
        return encoded(image.crop((x, y, image.width - x, image.height - y)), quality=85)

    return change


def signed(image: Image.Image) -> bytes:
    copy = image.copy()
    ImageDraw.Draw(copy).text((copy.width * 0.6, copy.height * 0.9), "(c) somebody", fill="white")
    return encoded(copy, quality=85)


CHANGES: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG, quality 90": lambda image: encoded(image, quality=90),
    "JPEG, quality 50": lambda image: encoded(image, quality=50),
    "JPEG, quality 20": lambda image: encoded(image, quality=20),
    "PNG": lambda image: encoded(image, "PNG"),
    "WebP, quality 60": lambda image: encoded(image, "WEBP", quality=60),
    "grey": lambda image: encoded(image.convert("L"), quality=85),
    "resized to 75 %": scaled(0.75),
    "resized to 50 %": scaled(0.5),
    "resized to 25 %": scaled(0.25),
    "resized to 200 %": scaled(2.0),
    "brighter by 20 %": lambda image: encoded(image.point(lambda value: min(255, round(1.2 * value))), quality=85),
    "a line of text": signed,
    "cropped by 1 % a side": cropped(0.01),
    "cropped by 3 % a side": cropped(0.03),
    "cropped by 10 % a side": cropped(0.10),
    "mirrored": lambda image: encoded(ImageOps.mirror(image), quality=85),
}


def photos() -> Iterator[tuple[str, str, bytes]]:
    """All photos of the data folder: set, name, bytes."""
    for tar_path in sorted(real_data("photos/web").glob("*.tar")):
        with tarfile.open(tar_path) as tar:
            for member in tar:
                if member.name.endswith(".jpg"):
                    file = tar.extractfile(member)
                    assert file is not None
                    yield "web", member.name, file.read()
    for folder in ("photos/val", "photos/human", "openimages5/train", "raccoon", "lvis"):
        for path in sorted(real_data(folder).rglob("*.jpg")):
            yield folder, path.name, path.read_bytes()


def least_distance(one: int, other: int) -> int:
    """The least allowed distance at which two hashes are near; ``BEYOND`` where they have too little in common."""
    words = words_of([one, other])
    coarse, fine = map(int, np.bitwise_count(words[0] ^ words[1]))
    shared = int(np.bitwise_count(words[0] & words[1]).sum())
    return BEYOND if coarse + fine > shared // SHARED_FACTOR else max(coarse, -(-fine // FINE_FACTOR))


def print_recall(contents: list[bytes]) -> None:
    print(f"\nrecall: share of {len(contents)} photos known again at a distance of at most")
    print(f"{'':<46}" + "".join(f"{distance:>7}" for distance in DISTANCES))
    for name, change in CHANGES.items():
        found = []
        for content in contents:
            before = perceptual_hash(content)
            after = perceptual_hash(change(Image.open(io.BytesIO(content)).convert("RGB")))
            if before is not None:
                found.append(BEYOND if after is None else least_distance(before, after))
        shares = [sum(bits <= distance for bits in found) / len(found) for distance in DISTANCES]
        print(f"{name:<46}" + "".join(f"{share:>7.3f}" for share in shares))


def print_false_pairs(sets: list[str], names: list[str], hashes: list[int | None]) -> None:
    """Print the pairs of different photos by the least distance at which they are near, also by the coarse half alone.
    The photos of `raccoon` are counted separately, since it has some twice."""
    known = [number for number, found in enumerate(hashes) if found is not None]
    words = words_of(found for found in hashes if found is not None)
    where = [sets[number] for number in known]
    counts = {name: where.count(name) for name in dict.fromkeys(where)}
    print("photos: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    print(f"without a hash: {len(hashes) - len(known)}")
    print(f"\n{'pairs of photos at most so near':<46}" + "".join(f"{distance:>7}" for distance in DISTANCES))
    coarse = words.copy()
    coarse[:, 1] = 0
    for title, compared in (("both halves", words), ("the coarse half alone", coarse)):
        found = {distance: near_pairs(compared, distance) for distance in DISTANCES}
        rows = {
            f"web x photos/val, {title}": lambda a, b: {where[a], where[b]} == {"web", "photos/val"},
            f"any but raccoon, {title}": lambda a, b: "raccoon" not in (where[a], where[b]),
            f"raccoon, {title}": lambda a, b: where[a] == where[b] == "raccoon",
        }
        for row, belongs in rows.items():
            cells = [sum(map(belongs, pairs.first, pairs.second)) for pairs in found.values()]
            print(f"{row:<46}" + "".join(f"{cell:>7}" for cell in cells))
    raccoons = counts.get("raccoon", 0)
    others = len(known) - raccoons
    among = [counts["web"] * counts["photos/val"], *(n * (n - 1) // 2 for n in (others, raccoons))]
    print(f"({among[0]:,}, {among[1]:,} and {among[2]:,} pairs)")
    pairs = near_pairs(words, max(DISTANCES))
    for first, second in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True):
        one, other = known[first], known[second]
        bits = np.bitwise_count(words[first] ^ words[second]).tolist()
        print(f"  {bits[0]:>2} + {bits[1]:>2} bits: {sets[one]}/{names[one]}  {sets[other]}/{names[other]}")


def search(millions: float, max_distance: int) -> None:
    """Measure the search on generated hashes, with duplicates at most ``max_distance`` bits from their originals."""
    random = np.random.default_rng(0)
    count = int(millions * 1_000_000)
    words = random.integers(0, 1 << 64, (count, 2), dtype=np.uint64, endpoint=False)
    crowd = random.integers(0, 1 << 64, count // 2000 + 1, dtype=np.uint64, endpoint=False)
    words[: count // 2, 0] = random.choice(crowd, count // 2)
    for _ in range(24):  # bits that differ from the centre of the crowd
        words[: count // 2, 0] ^= one_bit(random, count // 2)
    originals = random.choice(count // 2, count // 100, replace=False)
    copies = words[originals]
    for _ in range(max_distance):
        copies[:, 0] ^= one_bit(random, len(copies))
        copies[:, 1] ^= one_bit(random, len(copies))
    everything = np.concatenate([words, copies])
    begun = time.perf_counter()
    pairs = near_pairs(everything, max_distance)
    seconds = time.perf_counter() - begun
    found = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    missed = sum((int(one), count + copy) not in found for copy, one in enumerate(originals))
    print(f"{len(everything):,} hashes, distance {max_distance}: {seconds:.1f} s, {peak_mib() / 1024:.1f} GiB at most")
    print(f"{len(pairs.first):,} pairs, {len(copies):,} hidden, {missed} of them missed")


def one_bit(random: np.random.Generator, count: int) -> np.ndarray:
    return np.uint64(1) << random.integers(0, 64, count, dtype=np.uint64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--millions", type=float, help="time the search on so many million hashes instead")
    parser.add_argument("--distance", type=int, default=DEFAULT_DISTANCE, help="of the search")
    options = parser.parse_args()
    if options.millions:
        return search(options.millions, options.distance)
    sets, names, contents = zip(*photos(), strict=True)
    begun = time.process_time()
    hashes = [perceptual_hash(content) for content in contents]
    each_ms = 1000 * (time.process_time() - begun) / len(contents)
    print(f"{len(contents)} photos, {each_ms:.2f} ms of CPU each for the hash")
    print_false_pairs(list(sets), list(names), hashes)
    web = [content for name, content in zip(sets, contents, strict=True) if name == "web"]
    print_recall(web[::EVERY])


if __name__ == "__main__":
    main()
