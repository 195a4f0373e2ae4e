"""`reid serve` before it serves: the address, the socket, what it says."""

import socket

import pytest

from web.serve import _listening


@pytest.mark.parametrize(
    ("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)]
)
def test_an_answer_is_sent_without_waiting_for_acknowledgements(
    host: str, family: socket.AddressFamily
) -> None:
    with (
        _listening(host, 0, family) as listening,
        socket.create_connection(listening.getsockname()[:2]),
    ):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
