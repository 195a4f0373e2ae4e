"""Folders and archives behind URLs, on `memory://` and a web server of this machine."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from errors import ReidError
from images.decode import UnreadableImage
from images.listing import Key, NothingToIngest
from images.sources import remote_url
from images.sources.base import GoneSource, Source
from images.sources.open import is_url, opened, source_of
from images.sources.remote import NoListing
from images.sources.remote_url import BadUrl, RemoteMissing, Unreachable, plain
from tests.fakes import write_pictures
from tests.http_folder import HttpFolder, served
from tests.packed import KINDS, in_memory, pack

pytest.importorskip("aiohttp", reason="the extra `remote` is not installed")

NAMES = ["0001_c1_1.png", "b/0002_c2_2.png", "b/100% é?#.png", "a b/x&y.JPG", "notes.txt"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "people", NAMES)


@pytest.fixture
def web(tmp_path: Path, folder: Path) -> Iterator[HttpFolder]:  # noqa: ARG001 - it is served
    with served(tmp_path) as server:
        yield server


def members(source: Source) -> dict[Key, bytes]:
    return {file.key: source.read(file.key, file.mtime_ns) for file in source.listing().files}


def test_a_folder_behind_a_url(folder: Path, web: HttpFolder) -> None:
    local = members(source_of(str(folder)))
    assert len(local) == 4
    for url in (f"{web.url}/people/", in_memory(folder, "people")):
        source = source_of(url)
        assert members(source) == local
        assert not source.name.endswith("/")
        listing = source.listing()
        assert (listing.refused, listing.ignored, listing.whole) == ({}, {".txt": 1}, True)
        assert [file.key for file in listing.files] == sorted(local)


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_behind_a_url(folder: Path, web: HttpFolder, kind: str) -> None:
    archive = pack(folder.parent / f"p{kind}", folder)
    local = members(source_of(str(archive)))
    assert members(source_of(f"{web.url}/p{kind}")) == local
    assert web.asked.count(f"GET /p{kind}") == 1
    assert members(source_of(in_memory(archive, f"p{kind}"))) == local


def test_only_another_version_counts_as_changed(folder: Path, web: HttpFolder) -> None:
    source = source_of(f"{web.url}/people")
    before = {file.path: file.mtime_ns for file in source.listing().files}
    assert before == {file.path: file.mtime_ns for file in source.listing().files}
    os.utime(folder / NAMES[0], (1e9, 1e9))
    after = {file.path: file.mtime_ns for file in source.listing().files}
    assert {path for path in before if before[path] != after[path]} == {NAMES[0]}
    web.marks = False  # then nobody can tell, and each is read again
    unmarked = [{file.mtime_ns for file in source.listing().files} for _ in range(2)]
    assert not unmarked[0] & unmarked[1]


def test_a_changed_archive_is_copied_again(
    folder: Path, web: HttpFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("images.sources.remote.PATIENCE_S", 0)
    archive = pack(folder.parent / "p.tar", folder)
    reader, url = source_of(f"{web.url}/p.tar"), f"{web.url}/p.tar"
    key = (NAMES[0], None)
    old = {file.key: file.mtime_ns for file in reader.listing().files}[key]
    write_pictures(folder, NAMES[:1], first_seed=50)
    pack(archive, folder)
    os.utime(archive, (1e9, 1e9))
    new = {file.key: file.mtime_ns for file in source_of(url).listing().files}[key]
    assert new != old
    assert reader.read(key, new) == (folder / NAMES[0]).read_bytes()


# --- servers that refuse, fail or keep silent


def test_what_is_not_there(folder: Path, web: HttpFolder) -> None:
    with pytest.raises(GoneSource, match=r"/no\.zip is not there$"):
        source_of(f"{web.url}/no.zip").listing()
    with pytest.raises(NoListing, match=r"/no gives no list of files \(it is not there\)"):
        source_of(f"{web.url}/no").listing()
    with pytest.raises(GoneSource, match=r"^memory://no is not there$"):
        source_of("memory://no").listing()
    source = source_of(f"{web.url}/people")
    (folder / NAMES[0]).unlink()
    with pytest.raises(UnreadableImage, match=r"^cannot be read: it is not there$"):
        source.read((NAMES[0], None), None)


def test_a_server_that_lists_nothing(folder: Path, web: HttpFolder) -> None:
    web.lists = False
    source = source_of(f"{web.url}/people")
    with pytest.raises(NoListing, match=r"forbidden \(403\)\); name an archive .* --manifest FILE"):
        source.listing()
    found = source.listing([NAMES[2], NAMES[0], "gone.png", "notes.txt"])
    assert [file.path for file in found.files] == [NAMES[0], NAMES[2]]
    assert (found.whole, found.refused) == (False, {})
    assert source.read((NAMES[2], None), None) == (folder / NAMES[2]).read_bytes()


def test_what_fails_is_never_taken_to_be_gone(web: HttpFolder) -> None:
    source = source_of(f"{web.url}/people")
    web.answers["/people/b/"] = 500
    found = source.listing()
    assert found.refused == {"b": "a folder that cannot be listed: the server says 500"}
    web.answers.clear()
    web.answers[f"/people/{NAMES[0]}"] = 503
    assert source.listing().refused == {NAMES[0]: "cannot be read: the server says 503"}
    web.answers["/people/"] = 500
    with pytest.raises(Unreachable, match="cannot be listed: the server says 500; try again later"):
        source.listing()
    web.answers["/people/"] = 401
    with pytest.raises(Unreachable, match=r"it asks for a password \(401\)"):
        source.listing()


def test_a_server_that_is_away_or_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setattr(remote_url, "SILENCE_S", 0.2)  # it takes connections, and says nothing
        source, archive = source_of(f"{url}/people"), source_of(f"{url}/p.tar")
        for one in (source, archive):
            with pytest.raises(Unreachable, match="it does not answer; try again later"):
                one.listing()
        with pytest.raises(UnreadableImage, match=r"cannot be read: .*it does not answer"):
            archive.read(("a.png", None), None)
    with pytest.raises(Unreachable, match=r"listed: no connection \(Connection refused\)"):
        source.listing()


def test_a_page_without_links_is_no_list(web: HttpFolder, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<a href='http://else.where/a.jpg'>a</a>")
    with pytest.raises(NoListing, match="its page names none"):
        source_of(f"{web.url}/site").listing()


def test_links_that_sort_a_list_or_lead_elsewhere(web: HttpFolder, tmp_path: Path) -> None:
    write_pictures(tmp_path / "site", ["a.png"])
    links = ["?C=N;O=D", "a.png?x=1", "a.png#x", "../people/", "/people/0001_c1_1.png", "a.png"]
    page = "".join(f'<a href="{link}">x</a>' for link in links)
    (tmp_path / "site" / "index.html").write_text(page)
    found = source_of(f"{web.url}/site").listing()
    assert ([file.path for file in found.files], found.refused, found.ignored) == (
        ["a.png"],
        {},
        {},
    )


def test_an_empty_folder(web: HttpFolder, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "x.txt").write_text("x")
    with pytest.raises(NothingToIngest, match=r"holds no image file.*it holds 1 \.txt"):
        source_of(f"{web.url}/none").listing()


# --- URLs


@pytest.mark.parametrize(
    "url",
    [
        "https://user:pa55w0rd@host/people",
        "https://pa55w0rd@host/people.zip",
        "s3://key:pa55w0rd@bucket/people",
        "sftp://user:pa55w0rd@host/people",
        "https://host/people.zip?X-Amz-Signature=pa55w0rd",
        "https://host/people.zip#pa55w0rd",
        "https://user:pa55/w0rd@host/people.zip",
        "simplecache::https://host/x?pa55w0rd",
    ],
)
def test_a_secret_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(BadUrl) as refused:
        source_of(url)
    assert "pa55" not in str(refused.value)


def test_what_a_server_says_is_repeated_without_secrets() -> None:
    said = plain(OSError("GET https://u:pa55w0rd@h/x.zip?sig=pa55w0rd failed\nagain"))
    assert said == "GET https://h/x.zip failed again"


def test_a_password_comes_from_the_environment(folder: Path, web: HttpFolder) -> None:
    pack(folder.parent / "p.zip", folder)
    code = "import sys; from images.sources.open import source_of; source_of(sys.argv[1]).listing()"
    environment = {**os.environ, "FSSPEC_HTTP": '{"headers": {"Authorization": "Bearer pa55"}}'}
    command = [sys.executable, "-c", code, f"{web.url}/p.zip"]
    subprocess.run(command, env=environment, check=True, cwd=Path(__file__).parents[2])
    assert set(web.headers) == {"Bearer pa55"}


@pytest.mark.parametrize(
    ("url", "error", "said"),
    [
        ("htps://host/x", BadUrl, "nothing reads htps:// URLs; did you mean 'http"),
        ("nonsense://host/x", BadUrl, "nothing reads nonsense:// URLs"),
        ("https://", BadUrl, "names no folder and no archive"),
    ],
)
def test_urls_that_lead_nowhere(url: str, error: type[ReidError], said: str) -> None:
    with pytest.raises(error, match=said):
        source_of(url)


def test_a_store_whose_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for missing in ("s3fs", "aiohttp"):
        monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(RemoteMissing, match=r"s3fs.*; for .* 'reid-search\[remote\]'"):
        source_of("s3://bucket/people")
    with pytest.raises(RemoteMissing, match="'aiohttp' is not installed"):
        source_of("https://host/people")


def test_names_of_the_web_have_one_form() -> None:
    assert source_of("HTTP://Host.Example/a b/%C3%A9/").name == "http://host.example/a%20b/%C3%A9"
    assert opened("http://host/p.zip") is opened("http://host/p.zip")
    assert is_url("s3://b") and not is_url("/a://b") and not is_url("://b") and not is_url("C:/b")


def test_fsspec_is_loaded_for_urls_only(folder: Path) -> None:
    pack(folder.parent / "p.tar", folder)
    code = (
        "import sys; from images.sources.open import source_of\n"
        "for source in sys.argv[1:]: source_of(source).listing()\n"
        "print(sorted({'fsspec', 'aiohttp'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(folder), str(folder.parent / "p.tar")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout == "[]\n"
