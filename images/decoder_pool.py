"""Decoding in processes that may crash or hang: exactly the image that did it has failed.

A decoder is started when it is first needed and kept for the next images. It is told several at
once and answers one after the other, so that the one it ended on is known. That one is given to a
fresh decoder by itself before it is blamed: the first may have been killed from outside.
"""

import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from threading import Lock

from errors import ReidError, UsageError
from images.decode import UnreadableImage
from images.decoder_process import REPLY_BYTES, Crop, Encoded, parse_reply, reply_length, request
from images.preprocessing import Preprocessing
from settings import Settings

DEFAULT_SECONDS = 20.0
_LONGEST_S = 86_400
_START_S = 120.0  # importing two libraries, on a machine that may be very busy
# sys.path as it is here: `python cli.py` must not meet another installation's modules
_SERVE = "import sys; sys.path[:] = sys.argv[1:]; from images.decoder_process import serve; serve()"
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class BadDecodeSeconds(UsageError):
    """REID_DECODE_SECONDS is no number of seconds."""

    http_status = 503


class DecoderDoesNotStart(ReidError):
    """A decoder process ended before it could take an image."""

    http_status = 503


class DecodersClosed(ReidError):
    """The decoders were stopped while they were decoding."""

    http_status = 503


class _Ended(Exception):
    """A decoder is gone; the message says how."""


class _TooSlow(Exception):
    """A decoder was ended at the time limit."""


def decode_seconds() -> float:
    """The time limit of one image, from `REID_DECODE_SECONDS`. Raises BadDecodeSeconds."""
    given = Settings.from_environment().decode_seconds
    try:
        seconds = float(given or DEFAULT_SECONDS)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= _LONGEST_S:  # false for nan too
        raise BadDecodeSeconds(
            f"REID_DECODE_SECONDS is {given!r}; expected seconds above 0, at most {_LONGEST_S}"
        )
    return seconds


class Decoders:
    """Decoder processes, as many as there are callers at once. `close` ends them."""

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = decode_seconds() if seconds is None else seconds
        self._lock = Lock()
        self._all: set[_Decoder] = set()
        self._free: list[_Decoder] = []
        self._closed = False

    def __enter__(self) -> "Decoders":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, count: int) -> None:
        """Starts as many before they are needed, and waits for none of them."""
        with self._lock:
            while len(self._all) < count:
                decoder = _Decoder()
                self._all.add(decoder)
                self._free.append(decoder)

    def close(self) -> None:
        """Ends every decoder, those at work too."""
        with self._lock:
            self._closed = True
            idle, self._free = self._free, []
            for decoder in self._all.difference(idle):
                decoder.kill()  # who is waiting for it sees its end, and clears up
        for decoder in idle:
            decoder.end()

    def decode(
        self, images: Sequence[Encoded], preprocessing: Preprocessing
    ) -> list[Crop | UnreadableImage]:
        """What each image gives, in order; callable from several threads.

        Raises DecoderDoesNotStart, and DecodersClosed.
        """
        found: list[Crop | UnreadableImage] = []
        suspected = False
        while len(found) < len(images):
            left = images[len(found) :]
            try:
                for outcome in self._ask(left, preprocessing, alone=suspected):
                    found.append(outcome)
                    suspected = False
            except _TooSlow:
                found.append(
                    UnreadableImage(f"decoding took longer than {self.seconds:g} s", "too slow")
                )
                suspected = False
            except _Ended as error:
                if suspected:
                    found.append(UnreadableImage(f"the decoder crashed on it ({error})", "crash"))
                suspected = not suspected
        return found

    def _ask(
        self, images: Sequence[Encoded], preprocessing: Preprocessing, *, alone: bool
    ) -> Iterator[Crop | UnreadableImage]:
        """The answers of one decoder; `alone` asks a fresh one for the first image only."""
        images = images[:1] if alone else images
        decoder = self._take(fresh=alone)
        answered = 0
        try:
            for outcome in decoder.decode(images, preprocessing, self.seconds):
                answered += 1
                yield outcome
        finally:
            self._give_back(decoder, whole=answered == len(images))

    def _take(self, *, fresh: bool) -> "_Decoder":
        with self._lock:
            if self._closed:
                raise DecodersClosed("the decoders were stopped")
            if self._free and not fresh:
                return self._free.pop()
            decoder = _Decoder()
            self._all.add(decoder)
            return decoder

    def _give_back(self, decoder: "_Decoder", *, whole: bool) -> None:
        """One that was left in mid-answer is of no more use."""
        with self._lock:
            if whole and not self._closed:
                self._free.append(decoder)
                return
            self._all.discard(decoder)
        decoder.end()


class _Decoder:
    """One process and the socket to it."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _SERVE, *sys.path],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={**os.environ, **_ONE_THREAD},
                process_group=0,  # Ctrl-C is for us; its end comes with the socket's
            )
        self._started = False

    def decode(
        self, images: Sequence[Encoded], preprocessing: Preprocessing, seconds: float
    ) -> Iterator[Crop | UnreadableImage]:
        """Raises _Ended or _TooSlow at the image that was being decoded."""
        if not self._started:
            self._wait_for_start()
        try:
            self._socket.settimeout(_START_S)  # it reads all before it decodes any
            for part in request(images, preprocessing, seconds):
                self._socket.sendall(part)
            for _ in images:
                deadline = time.monotonic() + seconds
                head = self._receive(REPLY_BYTES, deadline)
                body = self._receive(reply_length(bytes(head)), deadline)
                yield parse_reply(bytes(head), body, preprocessing)
        except TimeoutError:
            raise _TooSlow from None
        except (OSError, ValueError):
            raise _Ended(self._how()) from None

    def _wait_for_start(self) -> None:
        try:
            self._receive(1, time.monotonic() + _START_S)
        except TimeoutError:
            raise DecoderDoesNotStart(
                f"a decoder process was not ready after {_START_S:.0f} s; is this machine too busy?"
            ) from None
        except OSError:
            raise DecoderDoesNotStart(
                f"a decoder process did not start ({self._how()}); see what it said above, "
                "and `reid doctor`"
            ) from None
        self._started = True

    def _receive(self, length: int, deadline: float) -> bytearray:
        """Raises TimeoutError after the deadline, ConnectionError when the process has gone."""
        data = bytearray(length)
        view = memoryview(data)
        while view:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            count = self._socket.recv_into(view)
            if not count:
                raise ConnectionResetError
            view = view[count:]
        return data

    def _how(self) -> str:
        """How it ended; a process that still runs has closed its socket, and is ended."""
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def kill(self) -> None:
        """Ends the process, so the reading of another thread too."""
        self._process.kill()

    def end(self) -> None:
        self.kill()
        self._process.wait()
        self._socket.close()
