"""HEIC and HEIF, what phones write: read by a plug-in of Pillow, loaded at the first such file."""

from functools import cache

NAME = "HEIF"
# what the first box of such a file calls it; AVIF, which Pillow reads itself, says "avif" too
_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2")
_AVIF = (b"avif", b"avis")


def is_heif(data: bytes) -> bool:
    """Whether a file says that it is one.

    >>> is_heif(b"\\0\\0\\0\\x18ftypmif1\\0\\0\\0\\0mif1heic"), is_heif(b"\\xff\\xd8\\xff")
    (True, False)
    """
    if data[4:8] != b"ftyp":
        return False
    length = min(int.from_bytes(data[:4]), 256)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, length, 4))]
    return any(brand in _BRANDS for brand in brands) and not any(b in _AVIF for b in brands)


@cache
def register() -> None:
    """Lets Pillow open such files, from then on."""
    import pillow_heif

    pillow_heif.options.DECODE_THREADS = 1
    pillow_heif.register_heif_opener(thumbnails=False)
