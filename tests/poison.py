"""Image files that crash or hang the process that decodes them, and a decoder that they reach.

No such file is known for the decoders that Pillow has today; this is what one would do.
"""

import pytest

REASONS = {
    "leave": "the decoder crashed on it (exit code 7)",
    "segment": "the decoder crashed on it (signal 11)",
    "memory": "decoding it needs more memory than there is",
}
_DO = {
    "leave": "os._exit(7)",
    "segment": "ctypes.string_at(0)",
    "memory": "bytearray(3 * 2**30)",
    "hang": "sum(iter(int, 1))",
    "stop": "os.kill(os.getpid(), 19)",  # not even able to react to a signal
}
_SERVE = f"""
import sys; sys.path[:] = sys.argv[1:]
import ctypes, os, images.decode as module
from images.decoder_process import serve
DO, real = {_DO!r}, module._decoded
def decoded(data, any_shape):
    what = data[7:].decode() if data.startswith(b"poison:") else ""
    eval(DO[what]) if what else None
    return real(data, any_shape)
module._decoded = decoded
serve()
"""


def poison(what: str) -> bytes:
    """The content of a file that does this to its decoder."""
    assert what in _DO
    return f"poison:{what}".encode()


def let_it_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoders that are started from now on are crashed and hung by `poison`."""
    monkeypatch.setattr("images.decoder_pool._SERVE", _SERVE)
