"""The table of `ingest --manifest`: what it says, and every mistake with its line."""

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from images.facts_file import BadManifest, Told, read_facts


def told(tmp_path: Path, text: str | bytes) -> dict[str, Told]:
    path = tmp_path / "facts"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_facts(path)


def test_csv(tmp_path: Path) -> None:
    found = told(
        tmp_path,
        "\ufeffpath,pid,camid,time\r\n"
        "./a//b.jpg,7,3,2026-11-01T08:30+01:00\r\n"
        "\r\n"
        '"c, d.jpg",-1,,\r\n'
        "e.jpg, 0 ,0,2026-11-01\r\n",
    )
    columns = frozenset({"path", "pid", "camid", "time"})
    assert found == {
        "a/b.jpg": Told(2, columns, 7, 3, datetime(2026, 11, 1, 7, 30, tzinfo=UTC)),
        "c, d.jpg": Told(4, columns, -1, None, None),
        "e.jpg": Told(5, columns, 0, 0, datetime(2026, 11, 1, tzinfo=UTC)),
    }


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters(tmp_path: Path, delimiter: str) -> None:
    found = told(tmp_path, f"pid{delimiter}path\n7{delimiter}a,b.jpg\n")
    assert found == {"a,b.jpg": Told(2, frozenset({"path", "pid"}), 7)}


def test_json_lines(tmp_path: Path) -> None:
    found = told(tmp_path, '{"path": "a.jpg", "pid": 7}\n\n{"path": "b.jpg", "camid": null}\n')
    assert found == {
        "a.jpg": Told(1, frozenset({"path", "pid"}), 7),
        "b.jpg": Told(3, frozenset({"path", "camid"}), None, None),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,pidd\na.jpg,1", r"^line 1: no column 'pidd'; did you mean 'pid'\?$"),
        ("path,colour\na.jpg,1", "line 1: no column 'colour'; the columns are path, pid, camid, t"),
        ("path,pid,pid\na.jpg,1,1", "line 1: a column stands twice"),
        ("pid,camid\n1,2", "line 1: a column 'path' is missing"),
        ("path,pid\na.jpg,1\nb.jpg,x", "line 3: pid is 'x'; expected a whole number from -1 to 2"),
        ("path,pid\na.jpg,-2", "line 2: pid is '-2'"),
        ("path,pid\na.jpg,1.0", "line 2: pid is '1.0'"),
        ("path,pid\na.jpg,2147483648", "line 2: pid is"),
        (
            "path,camid\na.jpg,32768",
            "line 2: camid is '32768'; expected .* from 0 to 32767, or not",
        ),
        (
            "path,time\na.jpg,yesterday",
            "line 2: time is 'yesterday'; expected a date and time such",
        ),
        ("path,time\na.jpg,2026-02-30", "line 2: time is"),
        ("path,time\na.jpg,1700000000", "line 2: time is"),
        ("path,time\na.jpg,0001-01-01T00:00+05:00", "line 2: time is"),
        ("path,pid\na.jpg,1\na.jpg,2", "line 3: 'a.jpg' stands in line 2 already; keep one"),
        ("path,pid\n./a.jpg,1\na.jpg,1", "line 3: 'a.jpg' stands in line 2 already"),
        ("path,pid\n,1", "line 2: path is ''"),
        ("path,pid\na.jpg", "line 2: 1 values for 2 columns; a value with a comma goes in quot"),
        ('path,pid\n"a\nb.jpg",1\nc,d,e', "line 4: 3 values for 2 columns"),
        ('path\n"a.jpg', r"line 2: no CSV that can be read \(unexpected end of data\)"),
        (b"path\na.jpg\n\xff.jpg", "line 3: no UTF-8 text; save the file as UTF-8"),
        ("", "names no file; expected lines with path, pid, camid, time"),
        ("path\n", "names no file"),
        ('{"path": "a.jpg"}\n{"path": }', "line 2: no JSON; expected one object a line, such as"),
        ('{"path": "a.jpg"}\n[1]', "line 2: expected a JSON object with a path"),
        ('{"path": "a.jpg"}\n{"pid": 1}', "line 2: a column 'path' is missing"),
        ('{"path": "a.jpg", "Camera": 1}', "line 1: no column 'Camera'; did you mean 'camid'"),
        ('{"path": 7}', "line 1: path is 7; expected a path in the source"),
        ('{"path": "a.jpg", "pid": true}', "line 1: pid is True"),
        ('{"path": "a.jpg", "pid": 7.5}', "line 1: pid is 7.5"),
        ('{"path": "a.jpg", "time": 1700000000}', "line 1: time is 1700000000"),
        ('{"path": ' + "[" * 100_000, "line 1: no JSON"),
    ],
)
def test_mistakes(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(BadManifest) as refused:
        told(tmp_path, text)
    assert re.search(said, str(refused.value).removeprefix(f"{tmp_path / 'facts'}, "))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadManifest, match="cannot be read: No such file or directory"):
        read_facts(tmp_path / "none.csv")


paths = st.text(
    st.characters(exclude_characters="/\0\r\n", exclude_categories=["Cs"]), min_size=1
).filter(lambda text: text.strip() and text not in (".", ".."))
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
facts = st.fixed_dictionaries(
    {
        "pid": st.none() | st.integers(-1, 2**31 - 1),
        "camid": st.none() | st.integers(0, 2**15 - 1),
        "time": st.none()
        | st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=zones),
    }
)
tables = st.dictionaries(paths, facts, min_size=1, max_size=8)


@given(table=tables, as_json=st.booleans())
def test_whatever_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, table: dict[str, dict[str, Any]], as_json: bool
) -> None:
    rows = [
        {"path": path, **said, "time": said["time"] and said["time"].isoformat()}
        for path, said in table.items()
    ]
    if as_json:
        text = "\n".join(json.dumps(row) for row in rows)
    else:
        out = io.StringIO()
        writer = csv.DictWriter(out, ["path", "pid", "camid", "time"])
        writer.writeheader()
        writer.writerows(rows)
        text = out.getvalue()
    path = tmp_path_factory.getbasetemp() / "facts"
    path.write_bytes(text.encode())
    assert {
        name: {"pid": one.pid, "camid": one.camid, "time": one.time}
        for name, one in read_facts(path).items()
    } == table
