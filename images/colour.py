"""Any of Pillow's modes as 8-bit sRGB: what a colour profile says of the numbers is obeyed.

A phone's picture is in Display P3, an editor's in ProPhoto or Adobe RGB: the same numbers mean
other colours there. A profile that means sRGB leaves the numbers as they are, one that is damaged
or does not fit the picture counts as none.
"""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

GREY = (128, 128, 128, 255)  # what transparency is laid on
_SAME = 3  # of 255: profiles that all mean sRGB differ by so much in dark colours
_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK", "LAB": "LAB"}
_STEPS = np.linspace(0, 255, 9).astype(np.uint8)


class NoPixels(ValueError):
    """The picture's numbers are no colours that can be shown."""


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit sRGB; transparency is laid on grey. Raises NoPixels for floating-point numbers."""
    profile = image.info.get("icc_profile")
    if image.mode == "RGB" and not profile and "transparency" not in image.info:
        return image.copy()  # free of its file, which is closed soon
    if image.mode == "F":
        raise NoPixels("pixels are floating-point numbers; expected 8 or 16 bits")
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        whole = image.convert("RGBA")
        grey = image.mode in ("L", "LA", "La")
        colours = _coloured(whole.convert("L" if grey else "RGB"), profile)
        colours.putalpha(whole.getchannel("A"))
        ground = Image.new("RGBA", image.size, GREY)
        return Image.alpha_composite(ground, colours).convert("RGB")
    return _coloured(image, profile)


def _eight_bits(image: Image.Image) -> Image.Image:
    deep = np.asarray(image).astype(np.int64)
    eight_bit = (deep >> 8 if deep.max(initial=0) > 255 else deep).clip(0, 255)
    return Image.fromarray(eight_bit.astype(np.uint8))


def _coloured(image: Image.Image, profile: object) -> Image.Image:
    """An opaque picture in sRGB."""
    if image.mode not in _SPACES:  # a palette, one bit, YCbCr
        image = image.convert("RGB")
    if image.mode == "LAB":
        profile = profile or _lab()
    if not isinstance(profile, bytes) or not profile:
        return image.convert("RGB")
    transform = _to_srgb(profile, image.mode)
    if transform is None and image.mode == "L":  # which may have a profile for RGB
        image = image.convert("RGB")
        transform = _to_srgb(profile, image.mode)
    found = image.convert("RGB") if transform is None else ImageCms.applyTransform(image, transform)
    assert found is not None  # which it is only where it changes the image in place
    found.info.pop("icc_profile", None)  # of the numbers that were
    return found


@lru_cache(maxsize=32)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The way from a profile's colours to sRGB; None where there is none, or nothing to do."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if opened.profile.xcolor_space.strip() != _SPACES[mode].ljust(3):
            return None
        # of printing inks the profile says what is nearest, screens' colours have numbers alike
        intent = ImageCms.Intent.PERCEPTUAL if mode == "CMYK" else _RELATIVE
        transform = ImageCms.buildTransform(
            opened, ImageCms.createProfile("sRGB"), mode, "RGB", intent
        )
        return None if mode == "RGB" and _changes_nothing(transform) else transform
    except Exception:  # a damaged profile says nothing against the pixels
        return None


_RELATIVE = ImageCms.Intent.RELATIVE_COLORIMETRIC


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    cube = np.stack(np.meshgrid(_STEPS, _STEPS, _STEPS), axis=-1).reshape(27, 27, 3)
    changed = ImageCms.applyTransform(Image.fromarray(cube), transform)
    return bool(np.abs(np.asarray(changed).astype(int) - cube).max() <= _SAME)


@lru_cache(maxsize=1)
def _lab() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
