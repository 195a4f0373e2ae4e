"""A folder as other sources: archives, and copies behind `memory://`."""

import tarfile
import zipfile
from pathlib import Path

import fsspec

KINDS = (".tar", ".tar.gz", ".tgz", ".zip")


def pack(archive: Path, folder: Path) -> Path:
    """The files of a folder, `./` before their names in a tar, as `tar -cf x.tar .` does it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
            for path in paths:
                zipped.write(path, path.relative_to(folder))
    else:
        with tarfile.open(archive, "w" if archive.suffix == ".tar" else "w:gz") as tar:
            tar.add(folder, ".")
    return archive


def in_memory(folder: Path, name: str) -> str:
    """A copy behind a `memory://` URL, or an archive alone."""
    memory = fsspec.filesystem("memory")
    for path in [folder] if folder.is_file() else folder.rglob("*"):
        if path.is_file():
            below = "" if folder.is_file() else f"/{path.relative_to(folder)}"
            memory.pipe(f"/{name}{below}", path.read_bytes())
    return f"memory://{name}"
