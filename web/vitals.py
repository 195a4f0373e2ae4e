"""Whether the database can be used, asked beside the searches: on a connection and a thread of its
own, so that a page on which everybody waits says that it is alive."""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from db.connect import beside
from db.health import health

if TYPE_CHECKING:
    from sqlalchemy import Engine


class Vitals:
    """Asks one at a time; whoever asks meanwhile has the same answer."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = beside(engine)
        self._thread = ThreadPoolExecutor(1, "health")
        self._asking: Future[str] | None = None

    async def schema(self) -> str:
        """The schema's revision. Raises DatabaseUnreachable, WrongSchema."""
        if self._asking is None or self._asking.done():
            self._asking = self._thread.submit(self._ask)
        # one who goes away takes the answer from nobody
        return await asyncio.shield(asyncio.wrap_future(self._asking))

    def _ask(self) -> str:
        try:
            return health(self._engine)
        finally:
            self._engine.dispose()  # between two questions it takes no connection from anybody
