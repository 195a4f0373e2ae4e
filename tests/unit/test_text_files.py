"""Every text file that a person hands over is read by one rule, whoever reads it."""

import codecs
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cli import _load_dotenv
from errors import UsageError
from files import NotText, lines_of, read_text
from images.annotations import read_annotations
from images.facts_file import read_facts
from models.training.recipe import read_joint_recipe
from models.training.recipe_rules import _FOLDER
from vocabulary import COLUMNS
from web.tokens import from_file

ENCODINGS = {
    "plain": lambda text: text.encode(),
    "with a mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16 of Windows": lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    "UTF-16, big end first": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "UTF-32": lambda text: codecs.BOM_UTF32_LE + text.encode("utf-32-le"),
}
ENDS = {"LF": "\n", "CR LF": "\r\n", "CR": "\r"}


def dotenv(path: Path) -> object:
    here = Path.cwd()
    path.rename(path.with_name(".env"))
    os.chdir(path.parent)
    try:
        _load_dotenv()
        return os.environ["REID_TRIED"], os.environ["REID_TRIED_TOO"]
    finally:
        os.chdir(here)
        os.environ.pop("REID_TRIED", None)
        os.environ.pop("REID_TRIED_TOO", None)


RECIPE = (_FOLDER / "joint.toml").read_text(encoding="utf-8")
READERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a manifest": (read_facts, "path,pid\ncafé/a.jpg,7\nb.jpg,8\n"),
    "a manifest of JSON": (read_facts, '{"path": "café.jpg"}\n{"path": "b\u2028\x85.jpg"}\n'),
    "annotations": (
        read_annotations,
        f"id,{','.join(COLUMNS)}\nné.jpg{',1' * len(COLUMNS)}\n2{',1' * len(COLUMNS)}\n",
    ),
    "a recipe": (read_joint_recipe, f"# café\n{RECIPE}"),
    "tokens": (from_file, "# café\nrené read 0123456789abcdef\nzoë admin 0123456789abcdefg\n"),
    "settings": (dotenv, "REID_TRIED=café\nREID_TRIED_TOO=x\n"),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("kind", READERS)
def test_the_same_file_in_any_form(tmp_path: Path, kind: str, encoding: str, end: str) -> None:
    read, text = READERS[kind]
    path = tmp_path / "given"
    path.write_bytes(text.encode())
    expected = read(path)
    path.write_bytes(ENCODINGS[encoding](text.replace("\n", ENDS[end])))
    assert read(path) == expected


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"# a\r\n# caf\xe9\r\n", "line 2: no UTF-8 text"),
        (b"# a\r# b\r# \0\r", "line 3: a zero byte, which no text has"),
        ("# a\n# e".encode("utf-16-le"), "line 1: a zero byte, which no text has"),
        (codecs.BOM_UTF16_LE + "# a\n".encode("utf-16-le") + b"\n", "line 2: no UTF-16 text"),
    ],
)
def test_what_is_no_text(tmp_path: Path, kind: str, data: bytes, what: str) -> None:
    path = tmp_path / "given"
    path.write_bytes(data)
    with pytest.raises(UsageError) as refused:
        READERS[kind][0](path)
    where = ".env" if kind == "settings" else path
    assert str(refused.value) == f"{where}, {what}; save the file as UTF-8"


def test_nothing_but_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    path = tmp_path / "given"
    path.write_bytes("a\x0bb\x0cc\x1cd\x85e\u2028f\r\n\ng".encode())
    assert lines_of(read_text(path)) == ["a\x0bb\x0cc\x1cd\x85e\u2028f", "", "g"]
    path.write_bytes(b"")
    assert lines_of(read_text(path)) == []
    path.write_bytes(b"\xff")
    with pytest.raises(NotText):
        read_text(path)
