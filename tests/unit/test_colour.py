"""What a colour profile says of a picture's numbers is obeyed, in whatever form it is said."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pillow_heif
import pytest
from PIL import Image, ImageCms

from images import code_points, heif
from images.code_points import profile_of
from images.decode import decode
from tests.fakes import picture

heif.register()
PERSON = picture(7)
SRGB = ImageCms.createProfile("sRGB")
SRGB_PROFILE = ImageCms.ImageCmsProfile(SRGB).tobytes()
DISPLAY_P3 = profile_of(12, 13) or b""
LOSSLESS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "TIFF": {},
    "WEBP": {"lossless": True},
    "JPEG2000": {},
    "JPEG": {"quality": 98, "subsampling": 0},
    "HEIF": {"quality": 100, "chroma": 444},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}
# X, Y and Z of red, green and blue, under D50
PROPHOTO = (0.79767, 0.28804, 0.0, 0.13519, 0.71187, 0.0, 0.03134, 0.00009, 0.82520)
ADOBE = (0.60974, 0.31111, 0.01947, 0.20528, 0.62567, 0.06087, 0.14919, 0.06322, 0.74457)


@pytest.fixture(params=["Display P3", "ProPhoto", "Adobe RGB"])
def profile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bytes:
    known = {"Display P3": code_points._P3, "ProPhoto": PROPHOTO, "Adobe RGB": ADOBE}
    monkeypatch.setitem(code_points._PRIMARIES, 99, known[request.param])
    profile_of.cache_clear()
    made = profile_of(99, 13)
    profile_of.cache_clear()
    assert made is not None
    return made


def of_the_space(profile: bytes, image: Image.Image = PERSON, mode: str = "RGB") -> Image.Image:
    """The same colours in other numbers."""
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    way = ImageCms.buildTransform(SRGB, opened, "RGB", mode, ImageCms.Intent.RELATIVE_COLORIMETRIC)
    found = ImageCms.applyTransform(image, way)
    assert found is not None
    found.info.clear()  # in which Pillow notes the profile, and saves it unasked
    return found


def encoded(image: Image.Image, form: str, profile: bytes | None = None, **more: Any) -> bytes:
    out = io.BytesIO()
    if profile is not None:
        more["icc_profile"] = profile
    image.save(out, form, **LOSSLESS[form], **more)
    return out.getvalue()


def pixels(data: bytes) -> npt.NDArray[np.int64]:
    return np.asarray(decode(data).image).astype(np.int64)


def apart(one: npt.NDArray[np.int64], other: Image.Image) -> float:
    return float(np.abs(one - np.asarray(other)).mean())


@pytest.mark.parametrize("form", [form for form in LOSSLESS if form != "JPEG2000"])
def test_the_same_picture_in_another_space(profile: bytes, form: str) -> None:
    other = of_the_space(profile)
    assert apart(np.asarray(other).astype(np.int64), PERSON) > 8
    assert apart(pixels(encoded(other, form, profile)), PERSON) < 2


@pytest.mark.parametrize("mode", ["RGBA", "P", "RGB"])
def test_any_form_of_colour(profile: bytes, mode: str) -> None:
    other = of_the_space(profile)
    other = other.quantize(256) if mode == "P" else other.convert(mode)
    assert apart(pixels(encoded(other, "PNG", profile)), PERSON) < 1


def test_transparency_is_laid_on_the_same_grey(profile: bytes) -> None:
    other = of_the_space(profile).convert("RGBA")
    other.putalpha(0)
    assert (pixels(encoded(other, "PNG", profile)) == 128).all()


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
def test_a_profile_of_srgb_changes_no_bit(form: str) -> None:
    assert apart(pixels(encoded(PERSON, form, SRGB_PROFILE)), PERSON) == 0
    grey = PERSON.convert("L")
    if form != "WEBP":
        assert apart(pixels(encoded(grey, form, SRGB_PROFILE)), grey.convert("RGB")) == 0


@pytest.mark.parametrize(
    "bad", [b"no profile", SRGB_PROFILE[:200], bytes(500), SRGB_PROFILE.replace(b"RGB ", b"CMYK")]
)
@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG"])
def test_a_profile_that_is_none_counts_as_none(form: str, bad: bytes) -> None:
    assert (pixels(encoded(PERSON, form, bad)) == pixels(encoded(PERSON, form))).all()


def test_display_p3_by_numbers_in_a_png() -> None:
    data = encoded(of_the_space(DISPLAY_P3), "PNG")
    said = b"cICP" + bytes([12, 13, 0, 1])
    chunk = struct.pack(">I", 4) + said + struct.pack(">I", zlib.crc32(said))
    assert apart(pixels(data[:33] + chunk + data[33:]), PERSON) < 1
    assert apart(pixels(data), PERSON) > 8


def test_display_p3_by_numbers_in_an_avif() -> None:
    data = bytearray(encoded(of_the_space(DISPLAY_P3), "AVIF"))
    where = data.find(b"colrnclx")
    assert where > 0
    data[where + 8 : where + 12] = struct.pack(">HH", 12, 13)
    assert apart(pixels(bytes(data)), PERSON) < 2


def test_display_p3_by_numbers_in_a_heic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pillow_heif.options, "SAVE_NCLX_PROFILE", True)
    other = of_the_space(DISPLAY_P3)
    more = {"color_primaries": 12, "transfer_characteristics": 13}
    assert apart(pixels(encoded(other, "HEIF", None, **more)), PERSON) < 2


def test_a_profile_in_a_jpeg_2000() -> None:
    data = encoded(of_the_space(DISPLAY_P3), "JPEG2000")
    where = data.find(b"colr")
    (length,) = struct.unpack_from(">I", data, where - 4)
    box = struct.pack(">I", 11 + len(DISPLAY_P3)) + b"colr\2\0\0" + DISPLAY_P3
    header = data.find(b"jp2h")
    (whole,) = struct.unpack_from(">I", data, header - 4)
    grown = struct.pack(">I", whole + len(box) - length)
    data = data[: header - 4] + grown + data[header : where - 4] + box + data[where - 4 + length :]
    assert apart(pixels(data), PERSON) < 1


def test_lab_is_shown_as_it_looks() -> None:
    way = ImageCms.buildTransform(SRGB, ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(PERSON, way)
    assert lab is not None
    assert apart(pixels(encoded(lab, "TIFF")), PERSON) < 2


def test_what_names_no_known_space_is_left() -> None:
    assert profile_of(1, 13) is None  # sRGB
    assert profile_of(12, 16) is None  # of high dynamic range
    assert profile_of(250, 250) is None
