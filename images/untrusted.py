"""Pictures that somebody sent: tried first where a crash or a hang of a decoder harms nobody.

What a decoder process has decoded once is decoded again here where it is used. A file that the user
of the command line names is his own, and costs no further process.
"""

import atexit
from functools import cache

from images.decode import UnreadableImage
from images.decoder_pool import Decoders
from images.decoder_process import Encoded
from images.preprocessing import Preprocessing

_SMALL = Preprocessing(2, 1)  # what becomes of the pixels is for nobody


def check_picture(data: bytes, *, any_shape: bool) -> None:
    """Raises UnreadableImage for what no network may look at: damaged, too large, too slow."""
    outcome = _decoders().decode([Encoded(data, any_shape)], _SMALL)[0]
    if isinstance(outcome, UnreadableImage):
        raise outcome


@cache
def _decoders() -> Decoders:
    """One pool a process, started when the first picture comes."""
    decoders = Decoders()
    atexit.register(decoders.close)
    return decoders
