"""What a program takes for granted - open streams, a name, a home, plain names - may be missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from db import upgrade as upgrading
from db.connect import DatabaseAddress, NoHome, default_home, make_engine, resolve
from db.upgrade import upgrade
from files import CannotWrite, is_stdout, whole_file, write_whole
from tests.fakes import picture
from tests.integration.conftest import Reid

ROOT = Path(__file__).parents[2]
DECODE = """
import sys
from pathlib import Path
from cli import _stand_on_three_streams
_stand_on_three_streams()
from images.preprocessing import Preprocessing
from images.decoder_pool import Decoders
from images.decoder_process import Encoded
image = Encoded(Path(sys.argv[1]).read_bytes(), False)
with Decoders(seconds=60) as decoders:
    found = decoders.decode([image] * 3, Preprocessing(8, 4))
print("said to whom it may concern", file=sys.stderr, flush=True)
Path(sys.argv[2]).write_text(str([found.width for found in found]))
"""


@pytest.mark.parametrize("closed", [(2,), (0,), (1, 2), (0, 1, 2)])
def test_streams_that_are_closed(tmp_path: Path, closed: tuple[int, ...]) -> None:
    """As daemons start programs, and a shell with `2>&-`."""
    picture(1).save(tmp_path / "a.png")
    words = [sys.executable, "-c", DECODE, str(tmp_path / "a.png"), str(tmp_path / "found")]

    def close() -> None:
        for number in closed:
            os.close(number)

    done = subprocess.run(words, cwd=ROOT, check=False, preexec_fn=close)
    assert done.returncode == 0
    assert (tmp_path / "found").read_text() == "[32, 32, 32]"


@pytest.mark.parametrize("where", ["/dev/full", "a reader that has gone"])
def test_what_is_said_to_nobody_fails_nothing(tmp_path: Path, where: str) -> None:
    picture(1).save(tmp_path / "a.png")
    words = [sys.executable, "-c", DECODE, str(tmp_path / "a.png"), str(tmp_path / "found")]
    if where == "/dev/full":
        target = os.open(where, os.O_WRONLY)
    else:
        reader, target = os.pipe()
        os.close(reader)
    done = subprocess.run(words, cwd=ROOT, check=False, stderr=target)
    os.close(target)
    assert done.returncode == 0
    assert (tmp_path / "found").read_text() == "[32, 32, 32]"


def test_a_checkout_below_a_folder_with_a_percent_sign(
    tmp_path: Path, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "100% mine %(here)s"
    odd.mkdir()
    (odd / "migrations").symlink_to(ROOT / "migrations")
    monkeypatch.setattr(upgrading, "_MIGRATIONS", odd / "migrations")
    engine = make_engine(DatabaseAddress(Path(), empty_database_url))
    upgrade(engine)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM image").scalar_one() == 0
    engine.dispose()


# --- a user id without a name, and no home


def nameless() -> None:
    """As user 12345, whom /etc/passwd does not know."""
    import ctypes

    uid, gid = os.geteuid(), os.getegid()
    if ctypes.CDLL(None).unshare(0x10000000):
        raise OSError("unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"12345 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"12345 {gid} 1")


def _may_be_nameless() -> bool:
    try:
        subprocess.run(["true"], preexec_fn=nameless, check=True)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


@pytest.mark.skipif(not _may_be_nameless(), reason="no user namespaces here")
def test_the_embedded_database_of_a_user_without_a_name(tmp_path: Path) -> None:
    given = {k: v for k, v in os.environ.items() if k not in ("HOME", "USER", "LOGNAME")}
    given |= {"REID_HOME": str(tmp_path / "home"), "REID_DATABASE_URL": ""}

    reid = f"'{sys.executable}' cli.py"
    done = subprocess.run(
        f"{reid} retention set 30 && {reid} audit list; {reid} db stop",
        shell=True, cwd=ROOT, env=given, preexec_fn=nameless, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert "uid 12345" in done.stdout
    assert done.stdout.endswith("stopped\n")


def test_no_home_is_said_where_one_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: object = None) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    for name in ("REID_HOME", "XDG_DATA_HOME", "REID_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NoHome) as refused:
        default_home()
    said = f"user id {os.getuid()} has no home folder; set REID_HOME to a folder of your own"
    assert str(refused.value) == said
    with pytest.raises(NoHome):
        resolve()
    monkeypatch.setenv("REID_DATABASE_URL", "postgresql://host/db")
    assert resolve().url == "postgresql://host/db"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    with pytest.raises(NoHome):
        default_home()
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_home() == Path("/data/reid")


# --- outputs


def test_an_export_to_stdout_is_all_that_is_there(
    reid: Reid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("-", "/dev/stdout"):
        code, out, err = reid("audit", "export", "--out", name)
        assert code == 0
        assert all(line.startswith("{") for line in out.splitlines())
        assert out.count("\n") >= 1
        assert "rows" in err
    assert list(tmp_path.glob("-*")) == []


@pytest.mark.parametrize("kind", ["a pipe", "a number", "nowhere"])
def test_a_stream_is_written_into(tmp_path: Path, kind: str) -> None:
    if kind == "nowhere":
        write_whole("/dev/null", b"content")
        assert Path("/dev/null").is_char_device()
        return
    reader, writer = os.pipe()
    named = tmp_path / "pipe"
    os.mkfifo(named)
    held = os.open(named, os.O_RDWR)
    write_whole(named if kind == "a pipe" else f"/dev/fd/{writer}", b"content")
    assert os.read(held if kind == "a pipe" else reader, 100) == b"content"
    for number in (reader, writer, held):
        os.close(number)
    assert list(tmp_path.iterdir()) == [named]


def test_only_stdout_is_stdout() -> None:
    assert [is_stdout(name) for name in ("-", "/dev/stdout", "a/-", "./-", "--")] == [
        True, True, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize("private", [True, False])
def test_a_file_that_is_not_finished_is_not_there(tmp_path: Path, private: bool) -> None:
    target = tmp_path / "a.csv"
    target.write_bytes(b"before")
    with pytest.raises(KeyError), whole_file(target, private=private) as partial:
        partial.write_bytes(b"half")
        raise KeyError
    assert (target.read_bytes(), list(tmp_path.iterdir())) == (b"before", [target])
    with whole_file(target, private=private) as partial:
        partial.write_bytes(b"whole")
    assert target.read_bytes() == b"whole"
    if private:
        assert target.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CannotWrite, match="there is no folder"):
        write_whole(tmp_path / "nowhere" / "a", b"")
