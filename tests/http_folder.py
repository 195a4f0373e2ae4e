"""A folder behind a web server of this machine, which can be made to misbehave."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class HttpFolder:
    """`asked` lists "METHOD /path"; `answers` maps paths to a status that is given instead;
    `lists` False refuses to list folders, `marks` False leaves out Last-Modified."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)
    headers: list[str | None] = field(default_factory=list)
    lists: bool = True
    marks: bool = True


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, state: HttpFolder, *args: Any, **kwargs: Any) -> None:
        self.state = state
        super().__init__(*args, **kwargs)

    def send_head(self) -> Any:
        self.state.asked.append(f"{self.command} {self.path}")
        self.state.headers.append(self.headers.get("Authorization"))
        status = self.state.answers.get(self.path)
        if status is not None:
            self.send_error(status)
            return None
        return super().send_head()

    def list_directory(self, path: Any) -> Any:
        if not self.state.lists:
            self.send_error(403)
            return None
        return super().list_directory(path)

    def send_header(self, keyword: str, value: str) -> None:
        if self.state.marks or keyword != "Last-Modified":
            super().send_header(keyword, value)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[HttpFolder]:
    """Serves a folder; `url` has no slash at its end."""
    state = HttpFolder()
    handler = partial(_Handler, state, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield state
        server.shutdown()
        thread.join()
