"""A folder's files in one order, wherever they lie and whatever they are called."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from db.server.process import _demotion
from images.listing import NothingToIngest
from images.names import facts_of
from images.walk import NoSuchFolder, file_path, walk

ROOT = Path(__file__).resolve().parents[2]


def fill(folder: Path, *names: str | bytes) -> Path:
    for name in names:
        path = folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def paths(folder: Path) -> list[str]:
    return [file.path for file in walk(folder).files]


def test_sorted_by_bytes(tmp_path: Path) -> None:
    fill(tmp_path, "b/1.jpg", "a.jpg", "B.jpg", "a/2.png", "a/10.png", "é.jpg", "a-b.jpg")
    expected = ["B.jpg", "a-b.jpg", "a.jpg", "a/10.png", "a/2.png", "b/1.jpg", "é.jpg"]
    assert paths(tmp_path) == expected
    found = walk(tmp_path).files[0]
    facts = (tmp_path / "B.jpg").stat()
    assert (found.size_bytes, found.mtime_ns) == (1, facts.st_mtime_ns)


def test_names_of_any_bytes(tmp_path: Path) -> None:
    names = [b"caf\xe9.jpg", b"caf\\xe9.jpg", b"new\nline.jpg", b"\xff\xfe/a, b.JPG", b" .jpg"]
    fill(tmp_path, *names)
    found = walk(tmp_path).files
    assert {(file.path, file.path_raw) for file in found} == {
        ("caf\\xe9.jpg", b"caf\xe9.jpg"),
        ("caf\\xe9.jpg", None),
        ("new\nline.jpg", None),
        ("\\xff\\xfe/a, b.JPG", b"\xff\xfe/a, b.JPG"),
        (" .jpg", None),
    }
    for file in found:
        assert Path(os.fsdecode(file_path(str(tmp_path), file.path, file.path_raw))).is_file()


def test_other_suffixes_are_counted(tmp_path: Path) -> None:
    fill(tmp_path, "a.JPeG", "b.txt", "c.TXT", "README", ".hidden", "d.tiff", "e.jpg.part")
    found = walk(tmp_path)
    assert [file.path for file in found.files] == ["a.JPeG", "d.tiff"]
    assert found.ignored == {".txt": 2, "without a suffix": 2, ".part": 1}
    assert found.refused == {}


def test_symbolic_links(tmp_path: Path) -> None:
    folder = fill(tmp_path / "folder", "real.jpg", "sub/other.jpg")
    fill(tmp_path / "outside", "secret.jpg", "notes.txt")
    (folder / "inside.jpg").symlink_to("real.jpg")
    (folder / "out.jpg").symlink_to(tmp_path / "outside" / "secret.jpg")
    (folder / "up.jpg").symlink_to("../outside/secret.jpg")
    (folder / "chain.jpg").symlink_to("out.jpg")
    (folder / "dangling.jpg").symlink_to("nothing.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "folder-in").symlink_to("sub", target_is_directory=True)
    (folder / "folder-out").symlink_to("../outside", target_is_directory=True)
    (folder / "sub" / "round").symlink_to("..", target_is_directory=True)
    (folder / "notes.txt").symlink_to("../outside/notes.txt")
    found = walk(folder)
    assert [file.path for file in found.files] == ["inside.jpg", "real.jpg", "sub/other.jpg"]
    leads_out = "a symbolic link that leads out of the folder; ingest the folder it leads to"
    assert found.refused == {
        "chain.jpg": leads_out,
        "dangling.jpg": "cannot be read: No such file or directory",
        "folder-out": leads_out,
        "loop.jpg": "cannot be read: Too many levels of symbolic links",
        "out.jpg": leads_out,
        "sub/round": leads_out,
        "up.jpg": leads_out,
    }
    assert found.ignored == {"without a suffix": 1, ".txt": 1}


def test_a_folder_beside_with_a_longer_name_is_outside(tmp_path: Path) -> None:
    folder = fill(tmp_path / "a", "x.jpg")
    fill(tmp_path / "ab", "y.jpg")
    (folder / "y.jpg").symlink_to("../ab/y.jpg")
    assert list(walk(folder).refused) == ["y.jpg"]


def test_a_link_as_the_folder_itself(tmp_path: Path) -> None:
    fill(tmp_path / "real", "a.jpg")
    (tmp_path / "link").symlink_to("real")
    assert paths(tmp_path / "link") == ["a.jpg"]


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    fill(tmp_path, "a.jpg", "folder.jpg/b.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    found = walk(tmp_path)
    assert [file.path for file in found.files] == ["a.jpg", "folder.jpg/b.jpg"]
    assert found.refused == {"pipe.jpg": "no regular file"}


def test_very_deep_folders(tmp_path: Path) -> None:
    """Deeper than Python would recurse, and at the end longer than the system takes."""
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(2100):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    fill(tmp_path, "a.jpg")
    found = walk(tmp_path)
    assert [file.path for file in found.files] == ["a.jpg"]
    assert list(found.refused.values()) == ["a folder that cannot be read: File name too long"]
    subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    """As an ordinary user: nothing is closed to root."""
    folder = fill(tmp_path / "folder", "a.jpg", "closed/b.jpg", "locked.jpg")
    (folder / "closed").chmod(0)
    (folder / "locked.jpg").chmod(0)
    code = (
        "import sys; from pathlib import Path; from images.walk import walk, file_path\n"
        "from images.decode import read_file\n"
        "found = walk(Path(sys.argv[1]))\n"
        "print([file.path for file in found.files], found.refused)\n"
        "try: read_file(file_path(sys.argv[1], 'locked.jpg', None))\n"
        "except Exception as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, str(folder)],
        cwd=ROOT,
        preexec_fn=_demotion(),
        capture_output=True,
        text=True,
        check=False,
    )
    (folder / "closed").chmod(0o700)
    if "Permission denied" in done.stderr:
        pytest.skip("no user namespaces here: the other user cannot reach the test's folder")
    assert done.stdout.splitlines() == [
        "['a.jpg', 'locked.jpg'] "
        "{'closed': 'a folder that may not be read; change its permissions'}",
        "cannot be read: Permission denied",
    ], done.stderr


def test_no_folder(tmp_path: Path) -> None:
    fill(tmp_path, "a.jpg")
    for path, sentence in (
        (tmp_path / "nothing", "nothing is not there"),
        (tmp_path / "a.jpg", "a.jpg is a file; expected a folder"),
    ):
        with pytest.raises(NoSuchFolder) as caught:
            walk(path)
        assert str(caught.value) == f"{tmp_path}/{sentence}"
        assert caught.value.exit_code == 2


def test_a_folder_whose_own_name_is_no_utf8(tmp_path: Path) -> None:
    folder = fill(tmp_path / os.fsdecode(b"caf\xe9"), "a.jpg")
    with pytest.raises(NoSuchFolder, match=r"caf\\xe9 is no UTF-8 name; rename this folder"):
        walk(folder)


@pytest.mark.parametrize(
    ("names", "ending"),
    [
        ((), ""),
        (("a.txt", "b/c.txt", "d"), " (it holds 2 .txt, 1 without a suffix)"),
        (
            ("@eaDir/a.jpg/b.jpg", "._a.jpg", ".jpg"),
            " (it holds 1 of macOS's own, 1 previews of a system, 1 without a suffix)",
        ),
    ],
)
def test_nothing_to_read(tmp_path: Path, names: tuple[str, ...], ending: str) -> None:
    fill(tmp_path, *names)
    with pytest.raises(NothingToIngest) as caught:
        walk(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} holds no image file; expected JPEG, PNG, WebP, BMP, GIF, TIFF, HEIC, AVIF, "
        f"JPEG 2000 or PNM{ending}"
    )


@pytest.mark.parametrize(
    ("name", "pid", "camid"),
    [
        ("0474_c3_012345678.jpg", 474, 3),
        ("0002_c1s1_000451_03.jpg", 2, 1),
        ("-1_c6s4_000401_00.jpg", -1, 6),
        ("0000_c2_1.png", 0, 2),
        ("000616.jpg", None, None),
        ("0474_c3.jpg", None, None),
        ("-2_c1_1.jpg", None, None),
        ("x0474_c3_1.jpg", None, None),
        ("9999999999_c1_1.jpg", None, None),
        ("1_c99999_1.jpg", None, None),
        ("٤_c١_1.jpg", None, None),
    ],
)
def test_what_a_name_says(name: str, pid: int | None, camid: int | None) -> None:
    assert facts_of(name) == (pid, camid)
