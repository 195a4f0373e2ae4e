"""What other systems leave among a person's files is passed over, in every kind of source."""

import os
import zipfile
from pathlib import Path

import pytest

from images.leftovers import leftover
from images.listing import Listing
from images.sources.open import opened
from tests.http_folder import served
from tests.packed import in_memory, pack

OWN = ["0001_c1_1.jpg", "cam.1/0002_c2_2.jpg", "Trash talk/a.jpg", "@home/a.jpg", "#1/a.jpg"]
LEFT = {
    "in a bin": [
        ".Trash-1000/files/a.jpg", ".Trash/a.jpg", ".Trashes/501/a.jpg", "$RECYCLE.BIN/S-1/$R1.jpg",
        "#recycle/a.jpg", "cam/@Recycle/a.jpg", "lost+found/a.jpg", ".trashed-1700000000-a.jpg",
        ".trash-0/files/a.jpg",
    ],
    "previews of a system": [
        "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", "cam/@eaDir/a.jpg/x.png", "cam/.@__thumb/a.jpg",
        ".thumbnails/a.png",
    ],
    "of macOS's own": ["._a.jpg", "cam/._0001_c1_1.jpg", "__MACOSX/._a.jpg", ".AppleDouble/a.jpg"],
    "in a snapshot": ["#snapshot/day/a.jpg", ".snapshot/a.jpg", "@Recently-Snapshot/1/a.jpg"],
    "of a system": ["System Volume Information/a.jpg"],
    "hidden": [".a.jpg", ".stversions/a.jpg", "cam/.pending-1-a.jpg", ".git/a.png"],
}  # fmt: skip
COUNTED = {kind: len(paths) for kind, paths in LEFT.items()}


@pytest.mark.parametrize("kind", LEFT)
def test_each_kind(kind: str) -> None:
    assert {leftover(path) for path in LEFT[kind]} == {kind}
    assert not any(leftover(path) for path in OWN)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path in [*OWN, *(path for paths in LEFT.values() for path in paths)]:
        target = tmp_path / "people" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"x")
    return tmp_path / "people"


def check(found: Listing) -> None:
    assert sorted(file.path for file in found.files) == sorted(OWN)
    assert (found.refused, found.ignored) == ({}, COUNTED)


def test_in_a_folder(folder: Path) -> None:
    check(opened(str(folder)).listing())


def test_a_system_folder_that_may_not_be_read_is_no_failure(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scandir(path: bytes) -> object:
        if path.endswith((b"lost+found", b"System Volume Information")):
            raise PermissionError(13, "Permission denied")
        return really(path)

    really = os.scandir
    monkeypatch.setattr("images.walk.os.scandir", scandir)
    check(opened(str(folder)).listing())


@pytest.mark.parametrize("kind", [".tar", ".tgz", ".zip"])
def test_in_an_archive(folder: Path, tmp_path: Path, kind: str) -> None:
    check(opened(str(pack(tmp_path / f"people{kind}", folder))).listing())


def test_behind_a_url(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp", reason="the extra `remote` is not installed")
    check(opened(in_memory(folder, "leftovers")).listing())
    with served(tmp_path) as web:
        check(opened(f"{web.url}/people").listing())


# --- names as Windows and macOS pack them


@pytest.mark.parametrize("system", [0, 3, 10])
def test_backslashes_in_a_zip_are_folders(tmp_path: Path, system: int) -> None:
    archive = tmp_path / "night.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for name in (
            "cam1\\0001_c1_1.jpg", "cam1\\cam 2\\0002_c2_2.jpg", "plain/0003_c3_3.jpg",
            "mixed/more\\0004_c1_4.jpg", "cam1\\@eaDir\\a.jpg", "empty\\", "..\\up.jpg",
            "C:\\Users\\me\\abs.jpg", "\\\\server\\share\\unc.jpg",
        ):  # fmt: skip
            info = zipfile.ZipInfo(name)
            info.create_system = system
            zipped.writestr(info, b"x")
    found = opened(str(archive)).listing()
    assert [file.path for file in found.files] == [
        "cam1/0001_c1_1.jpg", "cam1/cam 2/0002_c2_2.jpg", "plain/0003_c3_3.jpg",
        "mixed/more/0004_c1_4.jpg",
    ]  # fmt: skip
    assert found.ignored == {"previews of a system": 1}
    absolute = "an absolute name; pack the folder by relative names"
    assert found.refused == {
        "../up.jpg": "a name that leads out of the archive (..); pack the folder by relative names",
        "C:/Users/me/abs.jpg": absolute,
        "server/share/unc.jpg": absolute,
    }


def test_backslashes_in_a_zip_that_is_cut_off(tmp_path: Path) -> None:
    archive = tmp_path / "night.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for name in ("cam1\\0001_c1_1.jpg", "cam1\\0002_c2_2.jpg"):
            zipped.writestr(name, b"x" * 100)
    archive.write_bytes(archive.read_bytes()[:-30])
    found = opened(str(archive)).listing()
    assert [file.path for file in found.files] == ["cam1/0001_c1_1.jpg", "cam1/0002_c2_2.jpg"]


def test_names_as_the_finder_packs_them(tmp_path: Path) -> None:
    """In UTF-8, without the flag that says so."""
    archive = tmp_path / "night.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("café/0001_c1_1.jpg", b"x")
        zipped.writestr("Tür/0002_c1_1.jpg", b"x")
    data = bytearray(archive.read_bytes())
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        where = -1
        while (where := data.find(mark, where + 1)) >= 0:
            data[where + at : where + at + 2] = b"\0\0"
    archive.write_bytes(data)
    found = opened(str(archive)).listing()
    assert [file.path for file in found.files] == ["café/0001_c1_1.jpg", "Tür/0002_c1_1.jpg"]
