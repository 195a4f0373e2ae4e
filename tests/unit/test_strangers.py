"""Pictures that somebody sent cannot take the process along."""

from collections.abc import Iterator

import pytest

from images import untrusted
from images.decode import UnreadableImage
from images.decoder_pool import Decoders
from images.untrusted import check_picture
from tests.poison import REASONS, let_it_work, poison


@pytest.fixture(autouse=True)
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    let_it_work(monkeypatch)
    with Decoders(seconds=1) as decoders:
        monkeypatch.setattr(untrusted, "_decoders", lambda: decoders)
        yield


@pytest.mark.parametrize("what", ["segment", "hang"])
def test_a_picture_that_crashes_or_hangs_its_decoder_is_refused(what: str) -> None:
    with pytest.raises(UnreadableImage) as caught:
        check_picture(poison(what), any_shape=True)
    assert str(caught.value) == REASONS.get(what, "decoding took longer than 1 s")


def test_what_is_no_picture_is_refused_in_the_same_words() -> None:
    with pytest.raises(UnreadableImage, match=r"^an empty file$"):
        check_picture(b"", any_shape=True)
