"""Archives: every member as a folder would give it, and no trap sprung."""

import gzip
import io
import os
import random
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from images.decode import MAX_BYTES, UnreadableImage
from images.listing import Key, Listing, NothingToIngest
from images.sources.archive import BadArchive
from images.sources.base import Source
from images.sources.open import source_of
from images.sources.open_file import OpenFile
from images.walk import NoSuchFolder
from tests.fakes import write_pictures
from tests.packed import KINDS, pack

NAMES = ["0001_c1_000000001.png", "b/0002_c2_000000002.png", "a/é.jpg", "notes.txt", "b/x.PNG"]


def members(source: Source) -> dict[Key, bytes]:
    return {file.key: source.read(file.key, file.mtime_ns) for file in source.listing().files}


def tar_of(path: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Listing:
    with tarfile.open(path, "w") as tar:
        for info, data in entries:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return source_of(str(path)).listing()


def entry(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b"x" if kind == tarfile.REGTYPE else b""


@pytest.mark.parametrize("kind", KINDS)
def test_members_are_those_of_the_folder(tmp_path: Path, kind: str) -> None:
    folder = write_pictures(tmp_path / "people", NAMES)
    archive = source_of(str(pack(tmp_path / f"people{kind}", folder)))
    assert members(archive) == members(source_of(str(folder)))
    listing = archive.listing()
    assert (listing.whole, listing.refused, listing.ignored) == (True, {}, {".txt": 1})
    assert archive.name == str(tmp_path / f"people{kind}")
    assert all(file.size_bytes == (folder / file.path).stat().st_size for file in listing.files)


@pytest.mark.parametrize("kind", [".tar", ".tar.gz", ".zip"])
def test_threads_read_in_any_order(tmp_path: Path, kind: str) -> None:
    folder = write_pictures(tmp_path / "people", [f"{n:04}.png" for n in range(120)])
    archive = source_of(str(pack(tmp_path / f"people{kind}", folder)))
    files = archive.listing().files
    random.Random(1).shuffle(files)
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda file: archive.read(file.key, file.mtime_ns), files))
    assert read == [(folder / file.path).read_bytes() for file in files]


def test_a_packed_tar_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_pictures(tmp_path / "people", [f"{n:04}.png" for n in range(40)])
    archive = source_of(str(pack(tmp_path / "people.tar.gz", folder)))
    files = archive.listing().files
    unpacked: list[int] = []
    real = OpenFile.readinto

    def readinto(self: OpenFile, buffer: object) -> int:
        unpacked.append(real(self, buffer))
        return unpacked[-1]

    monkeypatch.setattr(OpenFile, "readinto", readinto)
    for start in range(0, 40, 8):  # neighbours in another order, as threads ask for them
        for file in reversed(files[start : start + 8]):
            archive.read(file.key, file.mtime_ns)
    assert 0 < sum(unpacked) <= (tmp_path / "people.tar.gz").stat().st_size


def test_names_of_any_bytes(tmp_path: Path) -> None:
    os.mkdir(tmp_path / "f")  # noqa: PTH102
    for name in (b"caf\xe9.jpg", b"caf\\xe9.jpg", b"new\nline.jpg", b" .jpg"):
        (tmp_path / "f" / os.fsdecode(name)).write_bytes(name)
    archive = source_of(str(pack(tmp_path / "f.tar", tmp_path / "f")))
    assert members(archive) == members(source_of(str(tmp_path / "f")))
    assert archive.read(("caf\\xe9.jpg", b"caf\xe9.jpg"), None) == b"caf\xe9.jpg"


def test_a_changed_member_is_noticed(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "people", ["a.png", "b.png"])
    archive = source_of(str(pack(tmp_path / "p.zip", folder)))
    before = {file.path: file.mtime_ns for file in archive.listing().files}
    os.utime(folder / "b.png", (1e9, 1e9))  # the same content, whatever its time
    write_pictures(folder, ["a.png"], first_seed=9)
    pack(tmp_path / "p.zip", folder)
    after = {file.path: file.mtime_ns for file in archive.listing().files}
    assert after["a.png"] != before["a.png"] and after["b.png"] == before["b.png"]
    assert archive.read(("a.png", None), after["a.png"]) == (folder / "a.png").read_bytes()


@pytest.mark.parametrize("kind", [".tar", ".tar.gz", ".zip"])
def test_a_reader_notices_another_archive(tmp_path: Path, kind: str) -> None:
    folder = write_pictures(tmp_path / "people", ["a.png", "b.png"])
    path = pack(tmp_path / f"p{kind}", folder)
    reader = source_of(str(path))
    first = reader.listing().files[0]
    old = reader.read(first.key, first.mtime_ns)
    (tmp_path / "old").mkdir()
    path.rename(tmp_path / "old" / path.name)
    write_pictures(folder, ["a.png"], first_seed=9)
    pack(path, folder)
    now = next(file for file in source_of(str(path)).listing().files if file.path == "a.png")
    assert reader.read(("a.png", None), now.mtime_ns) == (folder / "a.png").read_bytes() != old
    path.unlink()
    with pytest.raises(UnreadableImage, match=r"cannot be read: .*is not there"):
        reader.read(("a.png", None), 1)


def test_names_that_lead_elsewhere_and_what_is_no_file(tmp_path: Path) -> None:
    found = tar_of(
        tmp_path / "x.tar",
        entry("good.jpg"),
        entry("../up.jpg"),
        entry("a/../../up.jpg"),
        entry("/etc/abs.jpg"),
        entry("link.jpg", tarfile.SYMTYPE, "/etc/passwd"),
        entry("hard.jpg", tarfile.LNKTYPE, "./good.jpg"),
        entry("lost.jpg", tarfile.LNKTYPE, "elsewhere.jpg"),
        entry("dev.jpg", tarfile.CHRTYPE),
        entry("pipe.jpg", tarfile.FIFOTYPE),
        entry("folder.jpg", tarfile.DIRTYPE),
        entry("dev", tarfile.BLKTYPE),
    )
    assert [file.path for file in found.files] == ["good.jpg", "hard.jpg"]
    leads_out = "a name that leads out of the archive (..); pack the folder by relative names"
    assert found.refused == {
        "../up.jpg": leads_out,
        "a/../../up.jpg": leads_out,
        "etc/abs.jpg": "an absolute name; pack the folder by relative names",
        "link.jpg": "a link; pack the file itself",
        "lost.jpg": "a link; pack the file itself",
        "dev.jpg": "no regular file",
        "pipe.jpg": "no regular file",
    }
    assert source_of(str(tmp_path / "x.tar")).read(("hard.jpg", None), None) == b"x"


def test_the_last_of_two_with_one_name_counts(tmp_path: Path) -> None:
    info, _ = entry("a.jpg")
    found = tar_of(tmp_path / "x.tar", entry("a.jpg"), entry("b.jpg"), (info, b"newer"))
    assert [file.path for file in found.files] == ["b.jpg", "a.jpg"]
    assert found.notes == [
        f"1 names stand more than once in {tmp_path / 'x.tar'}; the last of each counts"
    ]
    assert source_of(str(tmp_path / "x.tar")).read(("a.jpg", None), None) == b"newer"


def test_the_notes_of_the_finder_are_passed_over(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as zipped:
        zipped.writestr("a.jpg", b"x")
        zipped.writestr("__MACOSX/._a.jpg", b"note")
    found = source_of(str(tmp_path / "x.zip")).listing()
    assert [file.path for file in found.files] == ["a.jpg"]
    assert found.ignored == {"of macOS's own": 1}


# --- bombs, passwords, damage


def test_a_member_that_is_too_large_is_never_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("bomb.jpg", bytes(MAX_BYTES + 1))
        zipped.writestr("good.jpg", b"x")
    found = source_of(str(tmp_path / "x.zip")).listing()
    assert [file.path for file in found.files] == ["good.jpg"]
    assert found.refused == {"bomb.jpg": "larger than 64 MiB; expected a person crop"}
    info = tarfile.TarInfo("bomb.jpg")
    info.size = 2**40
    (tmp_path / "x.tar").write_bytes(info.tobuf() + bytes(1024))
    listing = source_of(str(tmp_path / "x.tar")).listing()
    assert listing.files == [] and "bomb.jpg" in listing.refused


def test_a_member_gives_no_more_than_it_says(tmp_path: Path) -> None:
    """Both headers say 100 bytes; unpacked, it would be 50 million."""
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("bomb.jpg", bytes(50_000_000))
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<L", 50_000_000), struct.pack("<L", 100)))
    archive = source_of(str(path))
    file = archive.listing().files[0]
    assert file.size_bytes == 100
    tracemalloc.start()
    with pytest.raises(UnreadableImage, match="damaged in its archive: its checksum is wrong"):
        archive.read(file.key, file.mtime_ns)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("size", [-512, 2**33])
def test_headers_that_claim_to_be_huge_are_not_read(tmp_path: Path, size: int) -> None:
    good, data = entry("a.jpg")
    good.size = 1
    evil = tarfile.TarInfo("evil")
    evil.type, evil.size = tarfile.XHDTYPE, size
    blocks = good.tobuf() + data.ljust(512, b"\0") + evil.tobuf(format=tarfile.GNU_FORMAT)
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(blocks + bytes(4096)))
    found = source_of(str(tmp_path / "x.tar.gz")).listing()
    assert [file.path for file in found.files] == ["a.jpg"]
    (sentence,) = found.refused.values()
    assert not found.whole and "(a header of " in sentence


def test_an_encrypted_member(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr("a.jpg", b"secret")
    data = bytearray(path.read_bytes())
    data[6] |= 1  # of the local header
    data[data.index(b"PK\1\2") + 8] |= 1  # and of the list
    path.write_bytes(data)
    assert source_of(str(path)).listing().refused == {
        "a.jpg": "encrypted; unpack the archive with its password and ingest the folder"
    }


def test_methods_that_may_unpack_to_anything_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_LZMA) as zipped:
        zipped.writestr("a.jpg", b"x")
    assert source_of(str(tmp_path / "x.zip")).listing().refused == {
        "a.jpg": "packed by method 14; expected stored or deflated"
    }


def test_one_damaged_member_harms_no_other(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr("a.jpg", b"aaaaaaaa")
        zipped.writestr("b.jpg", b"bbbbbbbb")
    path.write_bytes(path.read_bytes().replace(b"aaaaaaaa", b"aaaaXaaa"))
    archive = source_of(str(path))
    (a, b) = archive.listing().files
    with pytest.raises(UnreadableImage, match="its checksum is wrong"):
        archive.read(a.key, a.mtime_ns)
    assert archive.read(b.key, b.mtime_ns) == b"bbbbbbbb"


@pytest.mark.parametrize("kind", [".tar", ".tar.gz", ".zip"])
def test_of_an_archive_that_is_cut_off_the_beginning_is_taken(tmp_path: Path, kind: str) -> None:
    """Wherever it is cut: what is listed is whole, the rest is told of in one sentence."""
    names = [f"{n}.jpg" for n in range(8)]
    for name in names:
        (tmp_path / "f").mkdir(exist_ok=True)
        (tmp_path / "f" / name).write_bytes(random.Random(name).randbytes(700))
    whole = pack(tmp_path / f"whole{kind}", tmp_path / "f").read_bytes()
    cut = tmp_path / f"cut{kind}"
    most = 0
    for length in range(100, len(whole), 331):
        cut.write_bytes(whole[:length])
        archive = source_of(str(cut))
        try:
            found = archive.listing()
        except (BadArchive, NothingToIngest):
            assert length < len(whole) / 4
            continue
        if found.whole:  # nothing but the last zero blocks is missing
            assert kind != ".zip" and len(found.files) == 8
            continue
        assert len(found.refused) == 1
        (sentence,) = found.refused.values()
        assert sentence.startswith("cut off") and sentence.endswith("copy it again for the others")
        for file in found.files:
            read = archive.read(file.key, file.mtime_ns)
            assert read == (tmp_path / "f" / file.path).read_bytes()
        most = max(most, len(found.files))
    assert most >= 7


@pytest.mark.parametrize("kind", [".tar", ".tar.gz", ".zip"])
def test_mutated_archives_end_in_words(tmp_path: Path, kind: str) -> None:
    for n in range(4):
        (tmp_path / "f").mkdir(exist_ok=True)
        (tmp_path / "f" / f"{n}.jpg").write_bytes(random.Random(n).randbytes(300))
    whole = pack(tmp_path / f"whole{kind}", tmp_path / "f").read_bytes()
    chance, path = random.Random(7), tmp_path / f"x{kind}"
    read = 0
    for _ in range(120):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 1, 4, 40))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
        archive = source_of(str(path))
        try:
            listing = archive.listing()
        except (BadArchive, NothingToIngest):
            continue
        for file in listing.files:
            try:
                archive.read(file.key, file.mtime_ns)
                read += 1
            except UnreadableImage:
                pass
    assert read > 60


# --- what is no archive


@pytest.mark.parametrize(
    ("name", "write", "error", "said"),
    [
        ("x.tar", lambda path: path.write_bytes(b""), BadArchive, "is an empty file"),
        ("x.zip", lambda path: path.write_bytes(b"no zip" * 99), BadArchive, "is no zip that can"),
        ("x.tar", lambda path: path.write_bytes(b"no tar" * 999), BadArchive, "is no tar that can"),
        ("x.tgz", lambda path: path.write_bytes(b"\x1f\x8bno" * 99), BadArchive, "is no tar that"),
        (
            "x.rar",
            lambda path: path.write_bytes(b"Rar!"),
            NoSuchFolder,
            "expected a folder, or one",
        ),
        ("x.tar", lambda path: path, NoSuchFolder, "is not there"),
        ("x.zip", lambda path: zipfile.ZipFile(path, "w").close(), NothingToIngest, "no image"),
    ],
)
def test_what_is_no_archive(
    tmp_path: Path, name: str, write: Callable[[Path], object], error: type[Exception], said: str
) -> None:
    write(tmp_path / name)
    with pytest.raises(error, match=said):
        source_of(str(tmp_path / name)).listing()


def test_a_folder_may_be_called_like_an_archive(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "2026.tar", ["a.png"])
    assert [file.path for file in source_of(str(folder)).listing().files] == ["a.png"]
    assert source_of(f"file://{folder}").name == str(folder)
