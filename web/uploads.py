"""Uploaded query images, kept in memory for a while, so that a question with one has an address:
it can be narrowed, gone back to, and asked again without choosing the file again."""

import time
from collections import OrderedDict
from secrets import token_urlsafe
from threading import Lock

from errors import UsageError
from gallery.sent_images import Upload

MAX_BYTES = 16 * 2**20
MAX_SECONDS = 60
KEPT_BYTES = 64 * 2**20
OWN_BYTES = 2**10  # what an upload takes beside its content, which may be tiny
KEPT_SECONDS = 30 * 60
MAX_NAME = 200


class UploadGone(UsageError):
    """An uploaded image was kept for a while only."""

    http_status = 404


class UploadTooSlow(UsageError):
    """A body did not come in time."""

    http_status = 408

    def __init__(self) -> None:
        super().__init__(f"the upload took longer than {MAX_SECONDS} s")


class UnsupportedContent(UsageError):
    """A body is of a kind that is not read here."""

    http_status = 415


class UploadTooLarge(UsageError):
    """More was sent than is taken."""

    http_status = 413

    def __init__(self) -> None:
        super().__init__(
            f"the upload is larger than {MAX_BYTES // 2**20} MiB; expected a person crop"
        )


class Uploads:
    """The newest uploads by an unguessable key; never on disk, gone with this process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[str, tuple[float, Upload]] = OrderedDict()

    def keep(self, upload: Upload) -> str:
        """Its key. The oldest ones make room."""
        key = token_urlsafe(16)
        with self._lock:
            self._kept[key] = time.monotonic() + KEPT_SECONDS, upload
            self._forget()
        return key

    def get(self, key: str) -> Upload:
        """Raises UploadGone."""
        with self._lock:
            self._forget()
            if key not in self._kept:
                raise UploadGone("the uploaded image is not kept any more; choose it again")
            return self._kept[key][1]

    def _forget(self) -> None:
        now = time.monotonic()
        for key in [key for key, (end, _) in self._kept.items() if end <= now]:
            del self._kept[key]
        size = sum(_size(upload) for _, upload in self._kept.values())
        while size > KEPT_BYTES:
            size -= _size(self._kept.popitem(last=False)[1][1])


def _size(upload: Upload) -> int:
    return OWN_BYTES + len(upload.data)


def file_name(sent: str | None) -> str:
    """The base name of what a browser calls a file, without what a name must not hold."""
    base = (sent or "").replace("\\", "/").rsplit("/", 1)[-1]
    return base.replace("\0", "").strip()[:MAX_NAME] or "upload"
