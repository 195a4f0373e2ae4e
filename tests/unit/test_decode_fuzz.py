"""Thousands of damaged image files: each gives a crop of the right size, or one sentence."""

import io
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from images import heif
from images.decode import FORMATS, UnreadableImage
from images.decoder_pool import Decoders
from images.decoder_process import Crop, Encoded
from images.preprocessing import Preprocessing
from tests.fakes import picture

SMALL = Preprocessing(8, 4)


def whole_files() -> list[bytes]:
    """One file of each format, and JPEGs of other kinds."""
    heif.register()
    image, files = picture(3, (40, 80)), []
    for form in FORMATS:
        file = io.BytesIO()
        image.save(file, form)
        files.append(file.getvalue())
    for options in (
        {"progressive": True},
        {"quality": 20},
        {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"},
    ):
        file = io.BytesIO()
        image.save(file, "JPEG", **options)
        files.append(file.getvalue())
    return files


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, most of them near the head, where sizes and offsets stand; or a piece cut
    out, doubled, moved to another format's head, or the end lost."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 2, 4, 16))):
        at = rng.randrange(min(len(changed), rng.choice((32, 256, len(changed)))))
        changed[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    start, length = rng.randrange(len(changed)), rng.randrange(1, 64)
    piece = changed[start : start + length]
    match rng.randrange(6):
        case 0:
            del changed[start : start + length]
        case 1:
            changed[start:start] = piece
        case 2:
            del changed[start:]
        case 3:
            changed[:length] = rng.randbytes(length)
    return bytes(changed)


def fuzz(count: int, seed: int) -> Iterator[bytes]:
    rng, whole = random.Random(seed), whole_files()
    for _ in range(count):
        yield mutated(rng.choice(whole), rng)


def outcomes(count: int, seed: int) -> Counter[str]:
    """How many were decoded and how many refused, by kind."""
    files = [Encoded(data, any_shape=True) for data in fuzz(count, seed)]
    found: Counter[str] = Counter()
    with Decoders(seconds=20) as decoders:
        for start in range(0, count, 50):
            for outcome in decoders.decode(files[start : start + 50], SMALL):
                if isinstance(outcome, UnreadableImage):
                    said = str(outcome)
                    assert said and "\n" not in said and len(said) < 300, said
                    found[outcome.kind] += 1
                else:
                    assert isinstance(outcome, Crop)
                    assert outcome.pixels.shape == (8, 4, 3)
                    assert outcome.thumbnail.startswith(b"\xff\xd8")
                    found["decoded"] += 1
    return found


def test_two_thousand_mutated_files() -> None:
    found = outcomes(2_000, seed=11)
    assert found.total() == 2_000
    assert found["decoded"] > 100, "some damage does no harm"
    assert found.total() - found["decoded"] > 500
    assert found["crash"] == found["too slow"] == 0, "Pillow's decoders have neither been seen"


@pytest.mark.long
def test_forty_thousand_mutated_files() -> None:
    assert outcomes(40_000, seed=12).total() == 40_000
