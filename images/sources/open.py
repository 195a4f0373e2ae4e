"""Where images come from: a folder, an archive or a URL. Each lists its files and reads one.

A source is known by its name alone, which stands with every image: a worker on another machine
opens it again from there.
"""

import re
from pathlib import Path
from threading import Lock

from images.sources.archive import ARCHIVES, Archive, is_archive, local_archive
from images.sources.base import Source
from images.sources.folder import LocalFolder
from images.walk import NoSuchFolder

_URL = re.compile(r"[a-z][\w+.-]*(::[\w+.-]+)*://", re.ASCII | re.IGNORECASE)


def is_url(text: str) -> bool:
    return _URL.match(text) is not None


def is_folder(name: str) -> bool:
    """Whether a source's name means a folder of this machine, there or not."""
    return not is_url(name) and not (is_archive(name) and not Path(name).is_dir())


def source_of(text: str) -> Source:
    """The source that a person or an image names; its files are not looked at yet.

    Raises NoSuchFolder, BadUrl, RemoteMissing.
    """
    if text.startswith(("file://", "local://")):
        text = text.partition("://")[2]
    if is_url(text):
        from images.sources.remote import RemoteFolder, remote_archive

        return remote_archive(text) if is_archive(text.rstrip("/")) else RemoteFolder(text)
    path = Path(text)
    if path.is_dir():
        return LocalFolder(path)
    if not path.exists():
        raise NoSuchFolder(f"{path} is not there")
    if not is_archive(path.name) or not path.is_file():
        raise NoSuchFolder(f"{path} is a file; expected a folder, or one of {', '.join(ARCHIVES)}")
    return local_archive(path)


_OPENED: dict[str, Source] = {}
_OPENING = Lock()


def opened(name: str) -> Source:
    """The source of that name; what must be opened, once for the process. Raises as `source_of`."""
    with _OPENING:
        if name in _OPENED:
            return _OPENED[name]
        found = source_of(name)
        if isinstance(found, LocalFolder):
            return found
        return _OPENED.setdefault(found.name, found)


def let_go() -> None:
    """Closes every archive that is open in this process: after a round of work nobody knows when
    there will be another one, and a copy of a remote one takes its room until then."""
    with _OPENING:
        for source in _OPENED.values():
            if isinstance(source, Archive):
                source.let_go()
