"""A worker's sign of life where no lock can be one: its leases are renewed while it lives."""

from contextlib import suppress
from threading import Event, Thread

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from gallery import manifest


class Heartbeat:
    """Renews the leases of a worker on a thread of its own, within the block; for one with a lock
    nothing is to be done."""

    def __init__(self, engine: Engine, worker_id: int) -> None:
        self._engine, self._worker_id = engine, worker_id
        self._ended = Event()
        self._thread = Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        if self._worker_id < 0:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(manifest.RENEWED_LEASE_S / 4):
            # a database that is away is noticed by the worker itself
            with suppress(DBAPIError), self._engine.begin() as connection:
                manifest.renew(connection, self._worker_id)
