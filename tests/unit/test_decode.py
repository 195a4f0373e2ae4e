"""Every form of picture becomes upright 8-bit RGB, or is refused with one sentence."""

import io
import resource
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from images import heif
from images.decode import (
    FORMATS,
    MAX_BYTES,
    THUMBNAIL,
    UnreadableImage,
    content_hash,
    decode,
    read_file,
)
from tests.fakes import picture

ORIENTATION = 0x0112


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def reason(data: bytes, *, any_shape: bool = False) -> str:
    with pytest.raises(UnreadableImage) as caught:
        decode(data, any_shape=any_shape)
    return str(caught.value)


def pixels(data: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    image = decode(data).image
    assert image.mode == "RGB"
    return np.asarray(image)


heif.register()
PERSON = picture(7)
NO_IMAGE = (
    "no image that can be read; expected JPEG, PNG, WebP, BMP, GIF, TIFF, HEIC, AVIF, JPEG 2000 or "
    "PNM"
)
GREY = PERSON.convert("L")


# --- forms


@pytest.mark.parametrize("form", [*FORMATS, "MPO"])
def test_each_format_is_read(form: str) -> None:
    found = decode(encoded(PERSON, form))
    assert (found.width, found.height) == PERSON.size
    assert found.image.mode == "RGB"
    near = np.abs(np.asarray(found.image).astype(int) - np.asarray(PERSON)).mean()
    assert near < (30 if form in ("JPEG", "MPO", "WEBP", "GIF", "HEIF", "AVIF") else 1)


def test_greyscale() -> None:
    assert np.array_equal(pixels(encoded(GREY)), np.asarray(GREY.convert("RGB")))


def test_one_bit() -> None:
    bits = GREY.convert("1")
    assert np.array_equal(pixels(encoded(bits)), np.asarray(bits.convert("RGB")))


def test_palette() -> None:
    few = PERSON.quantize(16)
    assert np.array_equal(pixels(encoded(few)), np.asarray(few.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_lies_on_grey(mode: str) -> None:
    image = PERSON.convert(mode)
    image.putalpha(Image.new("L", PERSON.size, 0))
    assert (pixels(encoded(image)) == 128).all()
    image.putalpha(Image.new("L", PERSON.size, 255))
    opaque = PERSON if mode == "RGBA" else GREY.convert("RGB")
    assert np.array_equal(pixels(encoded(image)), np.asarray(opaque))


def test_a_palette_with_transparency_lies_on_grey() -> None:
    few = PERSON.quantize(16)
    found = pixels(encoded(few, transparency=3))
    clear = np.asarray(few) == 3
    assert clear.any()
    assert (found[clear] == 128).all()
    assert np.array_equal(found[~clear], np.asarray(few.convert("RGB"))[~clear])


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk(form: str) -> None:
    image = Image.new("RGB", (32, 64), (200, 40, 60))
    found = pixels(encoded(image.convert("CMYK"), form))
    assert np.abs(found.astype(int) - (200, 40, 60)).max() < 8


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_keep_the_upper_eight(form: str) -> None:
    deep = np.linspace(0, 65535, 32 * 64).reshape(64, 32).astype(np.uint16)
    found = pixels(encoded(Image.fromarray(deep), form))
    assert np.array_equal(found[..., 0], (deep >> 8).astype(np.uint8))
    assert (found[..., 0] == found[..., 1]).all()


def test_floating_point_is_refused() -> None:
    image = Image.fromarray(np.zeros((64, 32), np.float32))
    said = reason(encoded(image, "TIFF"))
    assert said == "pixels are floating-point numbers; expected 8 or 16 bits"


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
def test_of_an_animation_the_first_frame_counts(form: str) -> None:
    first, second = (Image.new("RGB", (32, 64), color) for color in ("red", "blue"))
    options: dict[str, Any] = {"lossless": True} if form == "WEBP" else {}
    data = encoded(first, form, save_all=True, append_images=[second], **options)
    assert (pixels(data) == (255, 0, 0)).all()


# --- EXIF


@pytest.mark.parametrize("orientation", range(1, 9))
def test_rotation_is_undone(orientation: int) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    turned = PERSON.transpose(undo[orientation]) if orientation in undo else PERSON
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    for form in ("PNG", "TIFF"):
        assert np.array_equal(pixels(encoded(turned, form, exif=exif)), np.asarray(PERSON))
    found = decode(encoded(turned, "JPEG", exif=exif, quality=95))
    assert (found.width, found.height) == PERSON.size


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "block",
    [
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01\x03\0",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x99\0\0\0\0\0\0",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x02AB\0\0\0\0\0\0",
    ],
)
def test_a_damaged_exif_block_says_nothing_against_the_pixels(block: bytes) -> None:
    data = encoded(PERSON, "JPEG", exif=block)
    assert (decode(data).width, decode(data).height) == PERSON.size


# --- what is refused


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
@pytest.mark.filterwarnings("ignore")
def test_a_truncated_file(form: str) -> None:
    data = encoded(PERSON, form)
    for part in (0.1, 0.5, 0.9):
        said = reason(data[: int(len(data) * part)])
        assert said.startswith(("a damaged image: ", "no image that can be read")), part


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "an empty file"),
        (
            b"To whom it may concern",
            NO_IMAGE,
        ),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 128\n",
            NO_IMAGE,
        ),
        (
            b"\0" * 5000,
            NO_IMAGE,
        ),
    ],
)
def test_no_image(data: bytes, sentence: str) -> None:
    assert reason(data) == sentence


def png_that_says(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1_000_000, 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("any_shape", [False, True])
def test_a_decompression_bomb_is_not_opened(any_shape: bool) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = reason(png_that_says(40_000, 80_000), any_shape=any_shape)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert said == "40000x80000 pixels, more than 40 million; expected a person crop"
    assert grown_kib < 64 * 1024


def test_a_file_too_large_to_read(tmp_path: Any) -> None:
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(UnreadableImage) as caught:
        read_file(str(path))
    assert str(caught.value) == "larger than 64 MiB; expected a person crop"
    with pytest.raises(UnreadableImage, match="cannot be read: Is a directory"):
        read_file(str(tmp_path))
    with pytest.raises(UnreadableImage, match="cannot be read: No such file or directory"):
        read_file(str(tmp_path / "nothing"))


@pytest.mark.parametrize(
    ("size", "sentence"),
    [
        (
            (1, 1),
            "1x1 pixels is too small for a person crop, at least 16x32 are needed; "
            "--allow-any-shape lets it through",
        ),
        (
            (1920, 1080),
            "1920x1080 pixels is no upright person crop (height/width 0.56, expected 0.8 to 6); "
            "--allow-any-shape lets it through",
        ),
        (
            (20, 200),
            "20x200 pixels is no upright person crop (height/width 10.00, expected 0.8 to 6); "
            "--allow-any-shape lets it through",
        ),
    ],
)
def test_no_crop_of_a_person(size: tuple[int, int], sentence: str) -> None:
    data = encoded(picture(1, size))
    assert reason(data) == sentence
    let_through = decode(data, any_shape=True)
    assert (let_through.width, let_through.height) == size
    small = Image.open(io.BytesIO(let_through.thumbnail))
    assert small.width <= THUMBNAIL[0]
    assert small.height <= THUMBNAIL[1]


@pytest.mark.parametrize("size", [(16, 32), (64, 128), (100, 80), (20, 120)])
def test_sizes_at_the_edge_are_crops(size: tuple[int, int]) -> None:
    assert decode(encoded(picture(1, size))).image.size == size


# --- thumbnails


def test_a_small_jpeg_is_its_own_thumbnail() -> None:
    data = encoded(PERSON, "JPEG")
    assert decode(data).thumbnail == data


def test_other_thumbnails_are_small_jpegs_without_metadata() -> None:
    exif = Image.Exif()
    exif[0x010E] = "where it was taken"
    for data in (encoded(PERSON, "JPEG", exif=exif), encoded(picture(3, (300, 900)), "JPEG")):
        small = decode(data).thumbnail
        assert b"where it was taken" not in small
        with Image.open(io.BytesIO(small)) as image:
            assert image.format == "JPEG"
            assert image.width <= 96
            assert image.height <= 192
            assert not image.getexif()


def test_the_hash_is_of_the_bytes() -> None:
    assert content_hash(b"").hex().startswith("e3b0c44298fc1c14")


# --- notes beside the pixels


def chunk(kind: bytes, content: bytes, *, wrong: bool = False) -> bytes:
    """A PNG's chunk, with a checksum that is wrong where asked for."""
    checksum = zlib.crc32(kind + content) ^ wrong
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


MANY = 3 * 2**20
NOTES = {
    "text": chunk(b"tEXt", b"prompt\0" + b"x" * MANY),
    "packed text": chunk(b"zTXt", b"prompt\0\0" + zlib.compress(b"x" * MANY)),
    "XMP": chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + b"<x>" * MANY),
    "packed XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1" + bytes(3) + zlib.compress(bytes(MANY))),
    "a profile that is none": chunk(b"iCCP", b"big\0\0" + zlib.compress(bytes(MANY))),
    "a bomb as a profile": chunk(b"iCCP", b"big\0\0" + zlib.compress(bytes(100 * MANY))),
    "a profile that is not packed": chunk(b"iCCP", b"big\0\0" + bytes(MANY)),
    "a note of nobody": chunk(b"prVt", bytes(MANY)),
    **{
        f"a wrong checksum of {kind.decode()}": chunk(kind, b"\0\1\2\3\4\5\6\7\x08", wrong=True)
        for kind in (
            b"tEXt",
            b"iTXt",
            b"zTXt",
            b"iCCP",
            b"eXIf",
            b"tIME",
            b"pHYs",
            b"gAMA",
            b"tRNS",
        )
    },
    **{
        f"an empty {kind.decode()}": chunk(kind, b"")
        for kind in (
            b"tEXt",
            b"iTXt",
            b"zTXt",
            b"iCCP",
            b"eXIf",
            b"tIME",
            b"pHYs",
            b"sRGB",
            b"cHRM",
        )
    },
}


@pytest.mark.parametrize("what", NOTES)
def test_notes_in_a_png_never_keep_it_from_being_read(what: str) -> None:
    data = encoded(PERSON)
    for where in (33, len(data) - 12):  # behind the header, and before the end
        noted = data[:where] + NOTES[what] + data[where:]
        assert np.array_equal(pixels(noted), np.asarray(PERSON))


def test_a_wrong_checksum_of_the_pixels_is_no_note() -> None:
    data = encoded(PERSON)
    where = data.index(b"IHDR") + 4
    assert reason(data[:where] + b"\0\0\1" + data[where + 3 :]) == NO_IMAGE


@pytest.mark.parametrize("form", ["HEIF", "AVIF", "PNG", "WEBP", "TIFF", "JPEG"])
def test_rotation_is_undone_in_each_format(form: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    lying = PERSON.transpose(Image.Transpose.ROTATE_90)
    data = encoded(lying, form, exif=exif.tobytes(), **{"lossless": True} if form == "WEBP" else {})
    found = pixels(data)
    assert found.shape == (64, 32, 3)
    assert np.abs(found.astype(int) - np.asarray(PERSON)).mean() < 30


@pytest.mark.parametrize("form", ["HEIF", "AVIF", "JPEG2000", "PPM"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_cut_off_in_each_format(form: str, share: float) -> None:
    data = encoded(picture(7, (200, 400)), form)
    assert reason(data[: int(len(data) * share)])


@pytest.mark.parametrize("form", ["HEIF", "AVIF", "JPEG2000", "PPM"])
def test_too_many_pixels_in_each_format(form: str) -> None:
    """Said before any of them is decoded."""
    data = bytearray(encoded(PERSON.resize((64, 128)), form))
    if form == "PPM":
        data = bytearray(b"P6 60000 60000 255\n" + bytes(100))
    elif form == "JPEG2000":
        data = bytearray(
            data.replace(struct.pack(">II", 128, 64), struct.pack(">II", 60000, 60000))
        )
        data = data.replace(struct.pack(">II", 64, 128), struct.pack(">II", 60000, 60000))
    else:
        where = data.index(b"ispe") + 8
        data[where : where + 8] = struct.pack(">II", 60000, 60000)
    assert reason(bytes(data))
