"""Decoder processes: what one image does to its decoder concerns no other image."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from images.decode import UnreadableImage
from images.decoder_pool import (
    BadDecodeSeconds,
    DecoderDoesNotStart,
    Decoders,
    DecodersClosed,
    decode_seconds,
)
from images.decoder_process import Crop, Encoded, crop
from images.preprocessing import Preprocessing
from tests.fakes import DECODERS, picture
from tests.poison import REASONS, let_it_work, poison

ROOT = Path(__file__).resolve().parents[2]
SMALL = Preprocessing(8, 4)


def encoded(image: Image.Image, format_: str = "PNG", *, any_shape: bool = False) -> Encoded:
    out = io.BytesIO()
    image.save(out, format_)
    return Encoded(out.getvalue(), any_shape)


GOOD = [encoded(picture(seed)) for seed in range(6)]


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Iterator[Decoders]:
    let_it_work(monkeypatch)
    with Decoders(seconds=60) as decoders:
        yield decoders


def expect_equal(found: Crop | UnreadableImage, image: Encoded) -> None:
    expected = crop(image, SMALL)
    assert isinstance(found, Crop), found
    assert (found.width, found.height) == (expected.width, expected.height)
    assert found.thumbnail == expected.thumbnail
    np.testing.assert_array_equal(found.pixels, expected.pixels)


def process_ids(decoders: Decoders) -> list[int]:
    return sorted(decoder._process.pid for decoder in decoders._all)


# --- the same as in this process


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "RGBA", "I;16"])
def test_equal_bytes(mode: str) -> None:
    image = picture(1, (90, 200))
    deep = Image.fromarray(np.arange(90 * 200, dtype=np.uint16).reshape(200, 90))
    chosen = deep if mode == "I;16" else image.convert(mode)
    file = encoded(chosen, "TIFF" if mode == "CMYK" else "PNG")
    expect_equal(DECODERS.decode([file], SMALL)[0], file)


def test_equal_refusals_and_their_kinds() -> None:
    wide = encoded(picture(1, (200, 50)))
    cut = Encoded(GOOD[0].data[:60], False)
    bad = [
        Encoded(b"", False),
        Encoded(b"text \xff", False),
        cut,
        wide,
        encoded(picture(1, (8, 8))),
    ]
    found = DECODERS.decode(bad, SMALL)
    kinds = ["no image", "no image", "damaged", "shape", "shape"]
    for image, answer, kind in zip(bad, found, kinds, strict=True):
        with pytest.raises(UnreadableImage) as expected:
            crop(image, SMALL)
        assert isinstance(answer, UnreadableImage)
        assert (str(answer), answer.kind) == (str(expected.value), expected.value.kind)
        assert answer.kind == kind
    expect_equal(DECODERS.decode([Encoded(wide.data, True)], SMALL)[0], Encoded(wide.data, True))


def test_the_largest_that_is_allowed_fits_into_the_memory() -> None:
    deep = Image.fromarray(np.full((8000, 5000), 40_000, np.uint16))
    (found,) = DECODERS.decode([encoded(deep, "TIFF")], SMALL)
    assert isinstance(found, Crop), found
    assert (found.width, found.height, found.pixels.max()) == (5000, 8000, 40_000 >> 8)


def test_many_at_once_come_in_order() -> None:
    files = GOOD * 20
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda part: DECODERS.decode(part, SMALL), [files] * 8))
    for found in answers:
        assert [answer.pixels.tobytes() for answer in found if isinstance(answer, Crop)] == [
            crop(file, SMALL).pixels.tobytes() for file in GOOD
        ] * 20
    assert len(DECODERS._all) <= 5


# --- poison


@pytest.mark.parametrize("what", sorted(REASONS))
def test_a_crash_fails_its_image_alone(poisoned: Decoders, what: str) -> None:
    files = [*GOOD[:3], Encoded(poison(what), False), *GOOD[3:]]
    found = poisoned.decode(files, SMALL)
    bad = found.pop(3)
    assert isinstance(bad, UnreadableImage)
    assert str(bad) == REASONS[what]
    assert bad.kind == ("memory" if what == "memory" else "crash")
    for image, answer in zip(GOOD, found, strict=True):
        expect_equal(answer, image)


@pytest.mark.parametrize("what", ["hang", "stop"])
def test_a_hang_fails_its_image_alone(poisoned: Decoders, what: str) -> None:
    poisoned.seconds = 2  # enough for the others on a busy machine
    found = poisoned.decode([GOOD[0], Encoded(poison(what), False), GOOD[1]], SMALL)
    bad = found.pop(1)
    assert isinstance(bad, UnreadableImage)
    assert (str(bad), bad.kind) == ("decoding took longer than 2 s", "too slow")
    for image, answer in zip(GOOD[:2], found, strict=True):
        expect_equal(answer, image)


def test_nothing_but_poison(poisoned: Decoders) -> None:
    found = poisoned.decode([Encoded(poison("leave"), False)] * 2, SMALL)
    assert [str(answer) for answer in found] == [REASONS["leave"]] * 2
    assert process_ids(poisoned) == []


def test_a_decoder_that_is_killed_from_outside_costs_no_image() -> None:
    with Decoders(seconds=20) as decoders:
        decoders.start(2)
        decoders.decode(GOOD[:1], SMALL)
        for process in process_ids(decoders):
            os.kill(process, signal.SIGKILL)
        for image, answer in zip(GOOD, decoders.decode(GOOD, SMALL), strict=True):
            expect_equal(answer, image)


# --- how it starts and ends


def test_nothing_heavy_is_loaded() -> None:
    heavy = "{'torch', 'sqlalchemy', 'click'}"
    code = f"import sys, images.decoder_process; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_one_that_cannot_start_says_so(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("images.decoder_pool._SERVE", "raise ImportError('no Pillow here')")
    with Decoders(seconds=1) as decoders, pytest.raises(DecoderDoesNotStart) as caught:
        decoders.decode(GOOD, SMALL)
    assert str(caught.value) == (
        "a decoder process did not start (exit code 1); see what it said above, and `reid doctor`"
    )
    assert "no Pillow here" in capfd.readouterr().err


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def wait_until_gone(processes: list[int]) -> None:
    deadline = time.monotonic() + 20
    while not all(map(gone, processes)):
        assert time.monotonic() < deadline, "a decoder outlived who started it"
        time.sleep(0.02)


def test_closing_ends_those_at_work_too(poisoned: Decoders) -> None:
    poisoned.decode(GOOD[:1], SMALL)
    processes = process_ids(poisoned)
    with ThreadPoolExecutor(1) as threads:
        hanging = threads.submit(poisoned.decode, [Encoded(poison("hang"), False)], SMALL)
        time.sleep(0.2)
        poisoned.close()
        with pytest.raises(DecodersClosed):
            hanging.result(10)
    assert processes
    wait_until_gone(processes)
    with pytest.raises(DecodersClosed):
        poisoned.decode(GOOD, SMALL)


PARENT = """
import os, signal, sys, threading
from tests import poison
import images.decoder_pool
from images.decoder_process import Encoded
from images.preprocessing import Preprocessing

hanging = sys.argv[1] == "hang"
impatient = "import images.decoder_process; images.decoder_process._LET_GO_S = 0.5; serve()"
images.decoder_pool._SERVE = poison._SERVE.replace("\\nserve()", "\\n" + impatient)
decoders = images.decoder_pool.Decoders(seconds=0.5 if hanging else 20)
decoders.start(2)
decoders.decode([Encoded(b"", False)], Preprocessing(8, 4))
print(*(decoder._process.pid for decoder in decoders._all), flush=True)
threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGKILL]).start()
if hanging:
    decoders.decode([Encoded(poison.poison("hang"), False)], Preprocessing(8, 4))
sys.stdin.read()
"""


@pytest.mark.parametrize("doing", ["nothing", "hang"])
def test_they_end_with_who_started_them(doing: str) -> None:
    """Killed, it can tell them nothing: the socket's end does, and a timer while one hangs."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, doing],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    said, _ = parent.communicate(timeout=60)
    assert parent.returncode == -signal.SIGKILL
    processes = [int(word) for word in said.split()]
    assert len(processes) == 2
    wait_until_gone(processes)


# --- the time limit


def test_the_time_limit_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REID_DECODE_SECONDS", raising=False)
    assert decode_seconds() == 20
    monkeypatch.setenv("REID_DECODE_SECONDS", " 2.5 ")
    assert decode_seconds() == 2.5


@pytest.mark.parametrize("given", ["0", "-1", "nan", "soon", "1e9"])
def test_no_time_limit_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("REID_DECODE_SECONDS", given)
    with pytest.raises(BadDecodeSeconds) as caught:
        Decoders()
    assert str(caught.value) == (
        f"REID_DECODE_SECONDS is {given!r}; expected seconds above 0, at most 86400"
    )
