"""Bytes to an upright RGB image, with limits; every refusal is one sentence.

Accepted are FORMATS in any colour form: greyscale, palette, CMYK and 16-bit become 8-bit sRGB
(see `images.colour`), transparency is laid on grey, EXIF rotation is undone, of an animation the
first frame counts.
"""

import hashlib
import io
import warnings
from dataclasses import dataclass

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from errors import ReidError
from images import heif
from images.code_points import named_profile
from images.colour import NoPixels, to_rgb
from images.listing import KINDS
from images.png import picture_of

# JPEG is MPO too, a picture for each eye, and PPM all of the Netpbm family
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "HEIF", "AVIF", "JPEG2000", "PPM")
MAX_BYTES = 64 * 2**20
MAX_PIXELS = 40_000_000
MIN_WIDTH, MIN_HEIGHT = 16, 32
MIN_ASPECT, MAX_ASPECT = 0.8, 6.0  # height / width of a person crop, sitting or bending included
THUMBNAIL = (96, 192)

_ORIENTATION = 0x0112
_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_NOTES = {"exif", "icc_profile"}  # that say something of the pixels

# our own limit is checked before any pixel is decoded; Pillow's would only warn
Image.MAX_IMAGE_PIXELS = None
# the same for notes in a PNG: of those that are packed, `picture_of` lets none through unmeasured
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = MAX_BYTES
# of damaged metadata; what keeps a file from being used is raised
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


class UnreadableImage(ReidError):
    """The file cannot be used as a person crop; the message says why, `kind` in a word or two."""

    http_status = 422

    def __init__(self, message: str, kind: str = "unreadable") -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Decoded:
    """An upright RGB image and its small JPEG. Sizes are in pixels, after rotation."""

    image: Image.Image
    thumbnail: bytes

    @property
    def width(self) -> int:
        return self.image.width

    @property
    def height(self) -> int:
        return self.image.height


def content_hash(data: bytes) -> bytes:
    """SHA-256 of a file's bytes, 32 bytes."""
    return hashlib.sha256(data).digest()


def read_file(path: bytes | str) -> bytes:
    """The whole file, once. Raises UnreadableImage."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - the path may be bytes
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnreadableImage(f"cannot be read: {error.strerror}", "no file") from None
    if len(data) > MAX_BYTES:
        raise UnreadableImage(
            f"larger than {MAX_BYTES // 2**20} MiB; expected a person crop", "too large"
        )
    return data


def decode(data: bytes, *, any_shape: bool = False) -> Decoded:
    """Decodes an image file. `any_shape` lets through what is no upright crop of a person.

    Raises UnreadableImage.
    """
    try:
        return _decoded(data, any_shape)
    except MemoryError:
        raise UnreadableImage("decoding it needs more memory than there is", "memory") from None


def _decoded(data: bytes, any_shape: bool) -> Decoded:
    if not data:
        raise UnreadableImage("an empty file", "no image")
    try:
        with Image.open(io.BytesIO(picture_of(data)), formats=_formats(data)) as opened:
            _check_size(*opened.size, any_shape=True)
            plain = (
                opened.format == "JPEG" and opened.mode == "RGB" and _NOTES.isdisjoint(opened.info)
            )
            named = named_profile(opened, data)
            if named:
                opened.info.setdefault("icc_profile", named)
            upright = to_rgb(_upright(opened))
    except UnidentifiedImageError:
        raise UnreadableImage(f"no image that can be read; expected {KINDS}", "no image") from None
    except NoPixels as error:
        raise UnreadableImage(str(error), "no image") from None
    except (UnreadableImage, MemoryError):
        raise
    except Exception as error:  # decoders raise whatever they like on damaged bytes
        said = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImage(f"a damaged image: {said[:200]}", "damaged") from None
    _check_size(*upright.size, any_shape=any_shape)
    small = upright.width <= THUMBNAIL[0] and upright.height <= THUMBNAIL[1]
    keep = plain and small and len(data) <= 16_384
    return Decoded(upright, data if keep else thumbnail(upright))


def _formats(data: bytes) -> tuple[str, ...]:
    """Pillow's names of what the file may be."""
    if heif.is_heif(data):
        heif.register()
        return (heif.NAME,)
    return tuple(form for form in FORMATS if form != heif.NAME)


def _check_size(width: int, height: int, *, any_shape: bool) -> None:
    if width * height > MAX_PIXELS:
        raise UnreadableImage(
            f"{width}x{height} pixels, more than {MAX_PIXELS // 10**6} million; "
            "expected a person crop",
            "too large",
        )
    if any_shape:
        return
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        raise UnreadableImage(
            f"{width}x{height} pixels is too small for a person crop, at least "
            f"{MIN_WIDTH}x{MIN_HEIGHT} are needed; --allow-any-shape lets it through",
            "shape",
        )
    aspect = height / width
    if not MIN_ASPECT <= aspect <= MAX_ASPECT:
        raise UnreadableImage(
            f"{width}x{height} pixels is no upright person crop (height/width {aspect:.2f}, "
            f"expected {MIN_ASPECT} to {MAX_ASPECT:.0f}); --allow-any-shape lets it through",
            "shape",
        )


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF says. `ImageOps.exif_transpose` fails where other tags are damaged."""
    image.load()  # which turns a TIFF already, and says so
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # a damaged EXIF block says nothing against the pixels
        return image
    turn = _TURN.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def thumbnail(image: Image.Image) -> bytes:
    """A JPEG of at most 96x192 pixels, without metadata."""
    small = image.copy()
    small.thumbnail(THUMBNAIL, Image.Resampling.BILINEAR)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=88)
    return out.getvalue()
