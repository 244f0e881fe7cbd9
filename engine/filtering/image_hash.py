"""A perceptual hash: 128 bits that stay the same, but for a few, when a picture is encoded anew or resized.

In: an encoded picture. Out: the hash, None where there is none. It does not see through mirroring, turning, or a crop
of more than a few percent.

The known DCT hash, twice: grey, 32 x 32, a bit for each frequency, well above the median of its half or not. The coarse
half are the 64 lowest frequencies but the mean, which finds candidates; skies and silhouettes are alike in it. The fine
half are the next 64, which tell those apart.

Its library, `imagehash`, would bring SciPy and PyWavelets (40 MB of wheels) for what is a product of matrices here.
This one also decodes a JPEG at a fraction of its size, and rounds, so that no machine's last digit decides a bit.
Source: Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010), section 3.2.1.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from PIL import Image

from schemas.pictures import open_picture_file, too_many_scans

ALGORITHM = "dct64+64/3"  # another name wherever the same picture would get other bits
HALF_BITS = 64
SIDE = 32
MAX_PIXELS = 100_000_000
# Of a 32 x 32 picture, in levels of 255. Below, what differs is the noise of the encoder, and blank pictures of any
# colour would count as one.
MIN_CONTRAST = 2.0
# Above the median by less is not above it: in a smooth picture most frequencies are the encoder's noise around zero. Of
# photos the middle one measures 70 in the coarse half, 30 in the fine one.
MARGIN = 8.0
DECIMALS = 2
# Pairs that are `max_distance` apart in the coarse half may be so many times as far apart in the fine one, where noise
# changes more bits (benchmarks/near_duplicates.py).
FINE_FACTOR = 2
# They have so many times as many bits in common as they differ in: dark frames, line charts, pages of text and things
# on white have few bits, and would be within any distance of each other. On photos this changes nothing.
SHARED_FACTOR = 2

FloatArray = npt.NDArray[np.float64]
WordArray = npt.NDArray[np.uint64]
"""Hashes as N x 2: the coarse half, the fine half."""


def perceptual_hash(encoded: bytes, *, max_pixels: int = MAX_PIXELS) -> int | None:
    """The hash of an encoded picture, 1 to 2**128 - 1, the coarse half in its upper bits.

    None where it cannot be decoded within bounds, or has no structure: a blank picture looks like any other. EXIF
    orientation is not applied, animations count by their first frame, and alpha is not looked at.
    """
    try:
        with warnings.catch_warnings(action="ignore"), open_picture_file(encoded) as image:  # about odd metadata
            if image.width * image.height > max_pixels or too_many_scans(image.format, encoded):
                return None
            return hash_of_grey(_small_grey(image))
    except Exception:  # hostile bytes make a decoder raise anything
        return None


def phash_text(encoded: bytes) -> str | None:
    """The hash as labels carry it: 32 hexadecimal digits."""
    found = perceptual_hash(encoded)
    return None if found is None else f"{found:032x}"


def _small_grey(image: Image.Image) -> FloatArray:
    image.draft("L", (2 * SIDE, 2 * SIDE))  # of a JPEG, decode no more pixels than are needed
    deep = image.mode.startswith(("I", "F"))  # more than 8 bits, which "L" would cut off at 255: mostly white
    small = image.convert("F" if deep else "L").resize((SIDE, SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, dtype=np.float64)
    return _levels(grey, image.mode) if deep else grey


def _levels(grey: FloatArray, mode: str) -> FloatArray:
    """Levels of 0 to 255, as a model sees them (``glip/rgb.py``): 16 bits by their range, 32 bits and floats, which
    have no fixed one, from the darkest to the brightest."""
    if mode.startswith("I;16"):
        return grey / 257
    finite = np.nan_to_num(grey, nan=0, posinf=0, neginf=0)
    darkest, brightest = float(finite.min()), float(finite.max())
    return (finite - darkest) * (255 / (brightest - darkest) if brightest > darkest else 0.0)


def hash_of_grey(grey: FloatArray) -> int | None:
    """The hash of a grey picture of 32 x 32 in levels of 0 to 255; None where it is blank, or nothing stands out in it,
    as in a slope of grey or a dark frame."""
    if grey.std() < MIN_CONTRAST:
        return None
    frequencies = np.round(_COSINES @ grey @ _COSINES.T, DECIMALS)
    halves = frequencies[_LOWEST].reshape(2, HALF_BITS)
    bits = halves > np.median(halves, axis=1, keepdims=True) + MARGIN
    return int.from_bytes(np.packbits(bits).tobytes(), "big") or None


# ----------------------------------------------------------------------------------------------------------- distance


def words_of(hashes: Iterable[int]) -> WordArray:
    """Hashes as an N x 2 array."""
    low = (1 << HALF_BITS) - 1
    return np.array([(one >> HALF_BITS, one & low) for one in hashes], dtype=np.uint64).reshape(-1, 2)


def near(words: WordArray, others: WordArray, max_distance: int) -> npt.NDArray[np.bool_]:
    """Which hashes are those of one picture: at most ``max_distance`` bits apart in the coarse half, twice as many in
    the fine one, and half as many as both have in common. N x 2 each, or one of them 2."""
    coarse, fine = np.bitwise_count(words ^ others).T
    shared = np.bitwise_count(words & others).sum(axis=-1) // SHARED_FACTOR
    found = (coarse <= max_distance) & (fine <= FINE_FACTOR * max_distance) & (coarse + fine <= shared)
    return np.asarray(found, dtype=np.bool_)


def coarse_distances(words: WordArray, others: WordArray) -> npt.NDArray[np.uint8]:
    """Bits, 0 to 64, in which the coarse halves differ. N x 2 each, or one of them 2."""
    return np.asarray(np.bitwise_count(words[..., 0] ^ others[..., 0]), dtype=np.uint8)


# -------------------------------------------------------------------------------------------------------- frequencies


def _cosines() -> FloatArray:
    """The orthonormal DCT-II of 32 values."""
    frequency, place = np.mgrid[:SIDE, :SIDE]
    basis = np.cos(np.pi * (place + 0.5) * frequency / SIDE) * np.sqrt(2 / SIDE)
    basis[0] /= np.sqrt(2)
    return np.asarray(basis, dtype=np.float64)


def _lowest() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows and columns of the 128 lowest frequencies but the mean, lowest sum first."""
    order = sorted((row + column, row, column) for row in range(SIDE) for column in range(SIDE))
    chosen = order[1 : 2 * HALF_BITS + 1]
    return np.array([row for _, row, _ in chosen]), np.array([column for _, _, column in chosen])


_COSINES = _cosines()
_LOWEST = _lowest()
