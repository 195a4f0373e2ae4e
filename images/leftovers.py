"""What systems leave among a person's files: bins, previews, notes about each file, snapshots.

A bin's pictures are those that somebody has deleted, a preview is the same person a second time,
and a file of notes has the name of the picture that it is about.
"""

from pathlib import PurePosixPath

_FOLDERS = {
    "in a bin": (
        "$recycle.bin", "recycler", "recycled", "#recycle", "@recycle", ".trash", ".trashes",
        ".dtrash", "lost.dir", "lost+found", "found.000",
    ),
    "previews of a system": ("@eadir", ".@__thumb", ".thumbnails", ".thumbs"),
    "of macOS's own": ("__macosx", ".appledouble"),
    "in a snapshot": ("#snapshot", "@snapshot", ".snapshot", ".snapshots", "@recently-snapshot"),
    "of a system": ("system volume information", "@tmp", "#tmp", "@sharebin"),
}  # fmt: skip
_KIND_OF = {name: kind for kind, names in _FOLDERS.items() for name in names}


def leftover(path: str) -> str | None:
    """What a path relative to its source is instead of a person's own file, in a word or two.

    >>> leftover("cam1/@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg"), leftover(".Trash-1000/files/a.jpg")
    ('previews of a system', 'in a bin')
    >>> leftover("cam1/._a.jpg"), leftover("cam1/.a.jpg"), leftover("cam.1/a.jpg")
    ("of macOS's own", 'hidden', None)
    """
    parts = PurePosixPath(path).parts
    for folder in parts[:-1]:
        name = folder.lower()
        if kind := _KIND_OF.get(name) or ("in a bin" if name.startswith(".trash-") else None):
            return kind
    name = parts[-1].lower() if parts else ""
    if name.startswith("._"):
        return "of macOS's own"
    if name.startswith(".trashed-"):  # Android keeps what was deleted beside what was not
        return "in a bin"
    hidden = any(part.startswith(".") and part not in (".", "..") for part in parts)
    return "hidden" if hidden else None
