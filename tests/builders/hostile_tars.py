"""Tars that were made to hurt, by name; a good sample of that name stands in each where it can."""

from __future__ import annotations

import gzip
import tarfile
from typing import Any

END = bytes(1024)


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "", **fields: Any) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = size, kind, link
    for field, value in fields.items():
        setattr(member, field, value)
    return member.tobuf(tarfile.GNU_FORMAT)


def file(name: str, content: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    return header(name, len(content), kind) + content + bytes(-len(content) % 512)


def pax(records: dict[str, str], kind: bytes = tarfile.XHDTYPE) -> bytes:
    lines = b""
    for name, value in records.items():
        text = f" {name}={value}\n".encode()
        size = len(text) + len(str(len(text)))
        lines += str(size + (len(str(size)) > len(str(len(text))))).encode() + text
    return file("pax", lines, kind)


def with_wrong_sum(block: bytes) -> bytes:
    return block[:148] + b"0000000\0" + block[156:]


Wrong = dict[str, tuple[bytes, list[str]]]


def good(key: str, image: bytes) -> bytes:
    return file(f"{key}.jpg", image) + file(f"{key}.txt", b"A dog beside a red car.")


def members_of_no_file() -> Wrong:
    """Names that lead elsewhere, and members that are no files: the bytes, and the reasons of the rejects."""
    return {
        "traversal": (file("../../escaped.txt", b"x"), ["member_name_unsafe"]),
        "traversal-within": (file("a/../../escaped.txt", b"x"), ["member_name_unsafe"]),
        "absolute": (file("/tmp/glip-engine-escaped.txt", b"x"), ["member_name_unsafe"]),
        "of-windows": (file("C:\\escaped.txt", b"x"), ["member_name_unsafe"]),
        "symlink": (header("s.txt", 0, tarfile.SYMTYPE, "/etc/passwd"), ["member_not_a_file"]),
        "symlink-and-through-it": (
            header("d", 0, tarfile.SYMTYPE, "/tmp") + file("d/escaped.txt", b"x"),
            ["member_not_a_file", "key_invalid"],
        ),
        "hard-link": (header("h.txt", 0, tarfile.LNKTYPE, "/etc/passwd"), ["member_not_a_file"]),
        "device": (header("c.txt", 0, tarfile.CHRTYPE, devmajor=1, devminor=5), ["member_not_a_file"]),
        "disk": (header("b.txt", 0, tarfile.BLKTYPE, devmajor=8), ["member_not_a_file"]),
        "fifo": (header("f.txt", 0, tarfile.FIFOTYPE), ["member_not_a_file"]),
        "sparse": (header("s.jpg", 0, tarfile.GNUTYPE_SPARSE), ["member_not_a_file"]),
        "sparse-by-pax": (
            pax({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 50)})
            + file("s.jpg", b"0\n".ljust(512, b"\0")),
            ["member_not_a_file"],
        ),
    }


def samples_that_are_none(image: bytes) -> Wrong:
    """Files of which no sample comes, and headers that say more than they may."""
    return {
        "folder-named-jpg": (header("x.jpg/", 0, tarfile.DIRTYPE), []),
        "no-caption": (file("picture-alone.jpg", image), ["caption_missing"]),
        "no-picture": (file("caption-alone.txt", b"a dog"), ["image_missing"]),
        "key-twice": (
            good("twice", image) + file("y.txt", b"") + good("twice", image),
            ["image_missing", "key_duplicate"],
        ),
        "member-twice": (file("thrice.jpg", image) + good("thrice", image), ["member_duplicate"]),
        "long-name": (pax({"path": "n" * 100_000 + ".jpg"}) + file("n.jpg", image), ["key_invalid"]),
        "gnu-long-name": (
            file("././@LongLink", b"n" * 100_000 + b".jpg\0", tarfile.GNUTYPE_LONGNAME) + file("n.jpg", image),
            ["key_invalid"],
        ),
        "pax-traversal": (pax({"path": "../../escaped.txt"}) + file("n.txt", b"x"), ["member_name_unsafe"]),
        "pax-link": (pax({"linkpath": "/etc/passwd"}) + header("l", 0, tarfile.SYMTYPE, "x"), ["member_not_a_file"]),
        "pax-of-ten-thousand-records": (
            pax({f"k{n}": "v" * 50 for n in range(10_000)}) + file("n.txt", b""),
            ["image_missing"],
        ),
    }


def broken_ends(image: bytes) -> Wrong:
    """What ends a tar before its end."""
    return {
        "noise": (bytes(range(1, 256)) * 40, ["tar_broken"]),
        "wrong-sum": (with_wrong_sum(header("x.jpg")), ["tar_broken"]),
        "pax-of-ten-megabytes": (pax({"comment": "x" * 10_000_000}) + file("n.txt", b""), ["tar_broken"]),
        "pax-of-a-negative-size": (pax({"size": "-1024"}) + file("n.txt", b"x"), ["tar_broken"]),
        "pax-of-a-huge-size": (pax({"size": str(1 << 60)}) + file("n.txt", b"x"), ["tar_broken"]),
        "pax-of-no-number": (pax({"size": "many"}) + file("n.txt", b"x"), ["tar_broken"]),
        "a-size-beyond-the-end": (header("x.jpg", 1 << 40), ["tar_broken"]),
        "gzip": (gzip.compress(good("x", image)), ["tar_broken"]),
        "cut-in-the-middle": (good("x", image)[: len(good("x", image)) // 2], ["tar_broken"]),
        "xz": (b"\xfd7zXZ\x00" + bytes(600), ["tar_broken"]),
    }


def tars(image: bytes) -> dict[str, tuple[bytes, bool, list[str]]]:
    """By name: the bytes, whether the good sample is labelled, and the reasons of the rejects."""
    wrong = members_of_no_file() | samples_that_are_none(image)
    found = {
        name: (good(name, image) + content + good(f"{name}-after", image) + END, True, why)
        for name, (content, why) in wrong.items()
    }
    # The last sample before a break may lack a member: it is not believed, those before it are.
    found |= {
        name: (good(name, image) + good(f"{name}-last", image) + content, True, why)
        for name, (content, why) in broken_ends(image).items()
    }
    # Global headers hold for all that follows: nothing of such a tar is believed.
    found["pax-global-path"] = (
        pax({"path": "../../x.jpg"}, tarfile.XGLTYPE) + good("x", image) + END,
        False,
        ["member_name_unsafe"] * 2,
    )
    found["only-gzip"] = (gzip.compress(good("x", image) + END), False, ["tar_broken"])
    found["of-no-byte"] = (b"", False, ["tar_broken"])
    found["html"] = (b"<!DOCTYPE html><h1>404</h1>" * 40, False, ["tar_broken"])
    return found
