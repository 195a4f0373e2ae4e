"""Colours that a file names by numbers instead of a profile (ITU-T H.273), and JPEG 2000's profile.

Phones write Display P3 into AVIF and HEIC in this short form, and newer programs into PNG; Pillow
reads only whole profiles, and of JPEG 2000 none.
"""

import struct
from functools import cache

from PIL import Image, ImageCms

# the primaries' colours under D50, as an ICC profile has them: X, Y and Z of red, green and blue
_P3 = (0.51512, 0.24120, -0.00105, 0.29198, 0.69225, 0.04189, 0.15710, 0.06657, 0.78407)
_BT2020 = (0.67348, 0.27904, -0.00194, 0.16566, 0.67535, 0.02998, 0.12505, 0.04561, 0.79686)
_PRIMARIES = {9: _BT2020, 11: _P3, 12: _P3}
_LIKE_SRGB = (1, 2, 6, 13, 14, 15)  # transfer functions; of high dynamic range there are others
_HEADER = 2**16  # bytes of a file in which its description stands
_TAGS = (b"rXYZ", b"gXYZ", b"bXYZ")


def named_profile(image: Image.Image, data: bytes) -> bytes | None:
    """An ICC profile of the colours that an opened file names by numbers; None where it names
    none, or sRGB."""
    head = data[:_HEADER]
    if image.format == "PNG" and (where := head.find(b"cICP")) > 0:
        return profile_of(*head[where + 4 : where + 6])
    if image.format == "AVIF" and (where := head.find(b"colrnclx")) > 0:
        return profile_of(*struct.unpack_from(">HH", head.ljust(_HEADER + 16), where + 8))
    if image.format == "HEIF" and (named := image.info.get("nclx_profile")):
        return profile_of(named["color_primaries"], named["transfer_characteristics"])
    if image.format == "JPEG2000":
        return _of_jpeg2000(data, head.find(b"colr"))
    return None


def _of_jpeg2000(data: bytes, where: int) -> bytes | None:
    """Of a `colr` box of the second method, which holds a whole profile."""
    if where < 4 or data[where + 4 : where + 5] != b"\2":
        return None
    (length,) = struct.unpack(">I", data[where - 4 : where])
    return data[where + 7 : where - 4 + length]


@cache
def profile_of(primaries: int, transfer: int) -> bytes | None:
    """The ICC profile of a pair of code points; None for sRGB, and for what is not known here."""
    colours = _PRIMARIES.get(primaries)
    if colours is None or transfer not in _LIKE_SRGB:
        return None
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for number, tag in enumerate(_TAGS):
        entry = profile.index(tag, 128)  # in the table of tags behind the header
        (offset,) = struct.unpack_from(">I", profile, entry + 4)
        numbers = [round(value * 2**16) for value in colours[3 * number : 3 * number + 3]]
        struct.pack_into(">3i", profile, offset + 8, *numbers)
    return bytes(profile)
