"""Pictures that nobody wants to decode, by name: the bytes, and the reason of the reject or the size as labelled."""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache
from typing import Any

from pictures import saved
from PIL import Image, PngImagePlugin

Size = tuple[int, int]
SIZE: Size = (96, 64)


def scene(mode: str = "RGB", size: Size = SIZE) -> Image.Image:
    """A bright disc on a dark ground in any mode."""
    grey = Image.radial_gradient("L").resize(size)
    return Image.merge("RGB", (grey, grey.transpose(Image.Transpose.FLIP_LEFT_RIGHT), grey)).convert(mode)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, content: bytes, before: bytes = b"", bits: int = 1, colour: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    """So many zeros in a thousandth of their size."""
    packer = zlib.compressobj(6)
    parts = [packer.compress(bytes(min(1 << 20, count - start))) for start in range(0, count, 1 << 20)]
    return b"".join(parts) + packer.flush()


def png_bomb(side: int) -> bytes:
    """A picture of a bit a pixel, all there, in a hundred kilobytes."""
    return png(side, side, zeros(side * (side // 8 + 1)))


def tiff(entries: list[tuple[int, int, int, int]], content: bytes, next_directory: int = 0) -> bytes:
    """One directory of (tag, type, count, value), then the content; it begins after the directory."""
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", next_directory) + content


def tiff_bomb(side: int) -> bytes:
    packed = zeros(side * -(-side // 8))
    begin = 8 + 2 + 8 * 12 + 4
    fields = [(256, side), (257, side), (258, 1), (259, 8), (262, 1), (273, begin), (278, side), (279, len(packed))]
    return tiff([(tag, 4, 1, value) for tag, value in fields], packed)


def tiff_loop() -> bytes:
    """Its next directory is itself."""
    whole = saved(scene("L"), "TIFF")
    at = struct.unpack("<I", whole[4:8])[0]
    entries = struct.unpack("<H", whole[at : at + 2])[0]
    end = at + 2 + 12 * entries
    return whole[:end] + struct.pack("<I", at) + whole[end + 4 :]


def jpeg_claiming(width: int, height: int) -> bytes:
    whole = bytearray(saved(scene(), "JPEG"))
    at = whole.index(b"\xff\xc0") + 5
    whole[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(whole)


def jpeg_of_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is there so often: small to send, hours to decode."""
    whole = saved(scene("L", (2000, 2000)), "JPEG", progressive=True)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + last * count + b"\xff\xd9"


def jpeg_of_exif(count: int) -> bytes:
    """A JPEG with so many segments of EXIF: a decoder copies those before at each."""
    whole = saved(scene(), "JPEG")
    return whole[:2] + b"\xff\xe1\x00\x0aExif\0\0II" * count + whole[2:]


def rotated(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(scene(), "JPEG", exif=exif)


def webp_claiming(side: int) -> bytes:
    """The canvas of an extended WebP is what its header says."""
    whole = bytearray(saved(scene("RGBA"), "WEBP", save_all=True, append_images=[scene("RGBA").rotate(90)]))
    at = whole.index(b"VP8X") + 8 + 4
    whole[at : at + 6] = (side - 1).to_bytes(3, "little") * 2
    return bytes(whole)


def with_text(count: int, compressed: bool) -> bytes:
    notes = PngImagePlugin.PngInfo()
    for number in range(count):
        notes.add_text(f"note{number}", "x" * (20 if count > 1 else 64 << 20), zip=compressed)
    return saved(scene(), "PNG", pnginfo=notes)


def grey_16_bits() -> bytes:
    return saved(Image.frombytes("I;16", (64, 64), b"".join(struct.pack("<H", 16 * n) for n in range(4096))), "PNG")


def frames(kind: str, **options: Any) -> bytes:
    more = [scene().rotate(angle) for angle in (90, 180)]
    return saved(scene(), kind, save_all=True, append_images=more, **options)


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


UNREADABLE, PIXELS = "image_unreadable", "image_too_many_pixels"


Cases = dict[str, tuple[bytes, str | Size]]


def no_pictures() -> Cases:
    """No picture at all."""
    return {
        "of-no-byte": (b"", UNREADABLE),
        "of-noise": (bytes(range(256)) * 40, UNREADABLE),
        "html": (b"<!DOCTYPE html><html><body>403 Forbidden</body></html>", UNREADABLE),
        "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', UNREADABLE),
        "json": (b'{"error": "not found"}', UNREADABLE),
        "zip": (b"PK\x03\x04" + bytes(200), UNREADABLE),
        "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(100), UNREADABLE),
        "eps": (saved(scene(), "EPS"), UNREADABLE),
        "eps-that-runs": (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%touch pwned) (w) file\n",
            UNREADABLE,
        ),
        "ico": (saved(scene("RGBA"), "ICO"), UNREADABLE),
        "pickle": (b"\x80\x04\x95\x10\x00\x00\x00cposix\nsystem\n(S'touch pwned'\ntR.", UNREADABLE),
    }


def broken_pictures() -> Cases:
    """Broken on the way, or on purpose."""
    jpeg, png_file = saved(scene(), "JPEG"), saved(scene(), "PNG")
    return {
        "jpeg-of-two-bytes": (b"\xff\xd8", UNREADABLE),
        "jpeg-cut-in-its-header": (jpeg[:100], UNREADABLE),
        "jpeg-cut-in-its-pixels": (jpeg[: len(jpeg) // 2], UNREADABLE),
        "jpeg-without-its-start": (jpeg[20:], UNREADABLE),
        "jpeg-with-a-wrong-table": (flipped(jpeg, jpeg.index(b"\xff\xc4") + 4), UNREADABLE),
        "jpeg-of-no-side": (jpeg_claiming(0, 0), UNREADABLE),
        "png-with-a-wrong-header-sum": (flipped(png_file, 29), UNREADABLE),
        "png-with-wrong-pixels": (flipped(png_file, png_file.index(b"IDAT") + 10), UNREADABLE),
        "png-cut": (png_file[: len(png_file) // 2], UNREADABLE),
        "png-of-no-side": (png(0, 0, zlib.compress(b"")), UNREADABLE),
        "webp-cut": (saved(scene(), "WEBP")[:60], UNREADABLE),
        "gif-cut": (saved(scene(), "GIF")[:40], UNREADABLE),
        "avif-cut": (saved(scene(), "AVIF")[:200], UNREADABLE),
        "tiff-cut": (saved(scene(), "TIFF")[:-9000], UNREADABLE),
        "tiff-of-four-billion-strips": (
            tiff([(256, 4, 1, 9), (257, 4, 1, 9), (273, 4, 0xFFFFFFFF, 8)], b""),
            UNREADABLE,
        ),
        "bmp-cut": (saved(scene(), "BMP")[:80], UNREADABLE),
        "ppm-of-no-number": (b"P6 many 9 255\n" + bytes(300), UNREADABLE),
    }


def bombs() -> Cases:
    """Small to send, and large or long to decode."""
    return {
        "png-bomb": (png_bomb(30_000), PIXELS),
        "tiff-bomb": (tiff_bomb(30_000), PIXELS),
        "jpeg-that-claims-65500-a-side": (jpeg_claiming(65_500, 65_500), PIXELS),
        "webp-that-claims-16383-a-side": (webp_claiming(16_383), PIXELS),
        "ppm-that-claims-a-terabyte": (b"P6 1000000 1000000 255\n" + bytes(30), PIXELS),
        "bmp-that-claims-two-billion": (
            b"BM" + struct.pack("<IHHIIiiHHIIiiII", 70, 0, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 24, 0, 0, 0, 0, 0, 0),
            PIXELS,
        ),
        "jpeg-of-a-thousand-scans": (jpeg_of_scans(1000), "image_too_many_scans"),
        "jpeg-of-ten-thousand-exif-segments": (jpeg_of_exif(10_000), UNREADABLE),
        "ppm-in-digits-of-ten-thousand-comments": (b"P3 9 9 255\n" + b"#\n" * 10_000 + b"0 " * 243, UNREADABLE),
        "png-text-bomb": (with_text(1, compressed=True), UNREADABLE),
        "png-profile-bomb": (png(8, 8, zlib.compress(b""), chunk(b"iCCP", b"x\0\0" + zeros(1 << 28))), UNREADABLE),
        "png-of-short-rows": (png(9000, 9000, zlib.compress(b"\0")), UNREADABLE),
        "strip-of-a-pixel": (saved(Image.new("L", (1, 5000)), "PNG"), "image_too_elongated"),
    }


def odd_modes() -> Cases:
    """Whole, of sizes and colours that are seldom."""
    palette = scene().convert("P", palette=Image.Palette.ADAPTIVE)
    return {
        "one-pixel": (saved(Image.new("RGB", (1, 1), "red"), "PNG"), (1, 1)),
        "two-by-one": (saved(Image.new("RGB", (2, 1), "red"), "JPEG"), (2, 1)),
        "plain": (saved(scene(), "JPEG"), SIZE),
        "grey": (saved(scene("L"), "JPEG"), SIZE),
        "bit-a-pixel": (saved(scene("1"), "PNG"), SIZE),
        "cmyk": (saved(scene("CMYK"), "JPEG"), SIZE),
        "ycbcr-tiff": (saved(scene("YCbCr"), "TIFF"), SIZE),
        "lab-tiff": (saved(scene("LAB"), "TIFF"), SIZE),
        "float-tiff": (saved(scene("F"), "TIFF"), SIZE),
        "grey-of-16-bits": (grey_16_bits(), (64, 64)),
        "colours-of-16-bits": (png(8, 8, zlib.compress((b"\0" + bytes(range(48))) * 8), bits=16, colour=2), (8, 8)),
        "palette": (saved(palette, "PNG"), SIZE),
        "palette-with-transparency": (saved(palette, "PNG", transparency=bytes(range(256))), SIZE),
        "transparent": (saved(scene("RGBA"), "PNG"), SIZE),
        "grey-and-transparent": (saved(scene("LA"), "PNG"), SIZE),
    }


def odd_files() -> Cases:
    """Whole, of formats and with metadata that are seldom."""
    jpeg, png_file = saved(scene(), "JPEG"), saved(scene(), "PNG")
    return {
        "gif-animated": (frames("GIF"), SIZE),
        "webp-animated": (frames("WEBP"), SIZE),
        "png-animated": (frames("PNG"), SIZE),
        "tiff-of-pages": (frames("TIFF"), SIZE),
        "avif-animated": (frames("AVIF"), SIZE),
        "mpo": (frames("MPO"), SIZE),
        "tiff-that-loops": (tiff_loop(), SIZE),
        "webp": (saved(scene(), "WEBP"), SIZE),
        "avif": (saved(scene(), "AVIF"), SIZE),
        "jpeg-2000": (saved(scene(), "JPEG2000"), SIZE),
        "bmp": (saved(scene(), "BMP"), SIZE),
        "ppm": (saved(scene(), "PPM"), SIZE),
        "ppm-in-digits": (b"P3 # of 9 x 9\n9 9 255\n" + b"0 128 255 " * 81, (9, 9)),
        "turned-by-90": (rotated(6), SIZE),
        "mirrored-and-turned": (rotated(5), SIZE),
        "turned-by-nonsense": (rotated(99), SIZE),
        "png-named-jpg": (png_file, SIZE),
        "jpeg-with-a-zip-after-its-end": (jpeg + b"PK\x03\x04" * 1000, SIZE),
        "jpeg-with-a-large-profile": (saved(scene(), "JPEG", icc_profile=bytes(3_000_000)), SIZE),
        "jpeg-with-nonsense-as-exif": (saved(scene(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(60)), SIZE),
        "png-with-ten-thousand-notes": (with_text(10_000, compressed=False), SIZE),
    }


@lru_cache
def cases() -> Cases:
    return no_pictures() | broken_pictures() | bombs() | odd_modes() | odd_files()
