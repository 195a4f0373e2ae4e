"""Whose an embedded server is: a folder may be shared by machines and containers, and none of them
sees the others' processes.

A server holds a lock on a file beside its data for as long as one of its processes lives, and where
it was started is written there. The lock is the truth among all who share a kernel, and over a
network where its file system keeps such locks. Where it may not, a server of another machine that
was not stopped counts as living: two servers on one folder destroy it.
"""

import fcntl
import json
import os
import platform
import subprocess
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

# of one machine at a time: what was started before its last start has ended
_LOCAL_FILE_SYSTEMS = frozenset(
    (
        "apfs", "bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "fuseblk", "hfs",
        "jfs", "ntfs3", "overlay", "ramfs", "reiserfs", "tmpfs", "ufs", "vfat", "xfs", "zfs",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Owner:
    """Where a server was started: `boot` is new at each start of a machine, `processes` names the
    space in which its process numbers mean something."""

    host: str
    boot: str
    processes: str


def this_owner() -> Owner:
    """Return where this process runs."""
    return Owner(platform.node(), _boot(), _process_space())


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        pass
    with suppress(OSError):  # macOS
        asked = ["sysctl", "-n", "kern.bootsessionuuid"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        return done.stdout.strip()
    return ""


def _process_space() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - it leads to no path
    except OSError:
        return ""


@dataclass(frozen=True)
class HomeClaim:
    """The lock and the owner's file of one home."""

    home: Path

    @property
    def lock_file(self) -> Path:
        return self.home / "postgres.alive"

    @property
    def owner_file(self) -> Path:
        return self.home / "postgres.owner"

    def take(self) -> int | None:
        """A file descriptor that holds the lock, for the server to inherit; None while a living
        server holds it. Raises OSError where the file system has no locks."""
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def is_held(self) -> bool:
        """Whether a server lives that was started on a kernel whose locks are seen here."""
        if not self.lock_file.exists():
            return False
        try:
            descriptor = self.take()
        except OSError:
            return False
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    def owner(self) -> Owner | None:
        """Return who started the last server; None where nobody has written it."""
        try:
            return Owner(**json.loads(self.owner_file.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def sign(self) -> None:
        """Writes that the server is started from here."""
        partial = self.owner_file.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(this_owner())) + "\n")
        partial.replace(self.owner_file)

    def may_live_elsewhere(self, owner: Owner, *, locked: bool) -> bool:
        """Whether a server of that owner, which was not stopped, may live where nobody here can
        see it; `locked` says that its lock could be taken."""
        here = this_owner()
        if owner.boot == here.boot:
            # one kernel: its locks are certain; without them only its own processes can be seen
            return not locked and owner.processes != here.processes
        return file_system(self.home) not in _LOCAL_FILE_SYSTEMS


def file_system(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The kind of file system that a folder lies on, an empty string where nobody says."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return "apfs" if platform.system() == "Darwin" else ""
    real = folder.resolve()
    best, kind = -1, ""
    for line in lines:
        left, _, right = line.partition(" - ")
        place = left.split(" ")[4].encode("latin-1", "surrogateescape").decode("unicode_escape")
        at = Path(place)
        # of two at one place the later one covers the other
        if (real == at or at in real.parents) and len(at.parts) >= best:
            best, kind = len(at.parts), right.split(" ")[0]
    return kind
