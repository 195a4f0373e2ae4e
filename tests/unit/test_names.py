"""Every name in an exported file gives back the bytes of one file, and of no other."""

import os
from urllib.parse import unquote_to_bytes

from hypothesis import example, given
from hypothesis import strategies as st

from images.listing import readable
from query_sets.export_names import exported, in_collection, unambiguous
from tests.batch_answers import read_reid_test

# bytes of file names: no "/" and no zero byte, of any encoding or none
part = st.binary(min_size=1, max_size=12).map(
    lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_")
) | st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8).map(
    str.encode
)
path = st.lists(part, min_size=1, max_size=3).map(b"/".join)


@given(path)
@example(b" ")
@example(b"  a /  b ")
@example(b"%2C")
def test_a_name_parses_back(raw: bytes) -> None:
    name = exported(*readable(raw))
    assert unquote_to_bytes(name) == raw
    assert not set(name) & set(",:\"'\\\n\r\t")
    assert name == name.strip()
    assert name.count("/") == raw.count(b"/")
    assert len(name.splitlines()) == 1


@given(st.lists(path, unique=True, max_size=12))
def test_names_are_unambiguous(raws: list[bytes]) -> None:
    keys = [readable(raw) for raw in raws]
    names = unambiguous(keys)
    assert len(set(names.values())) == len(raws)
    for raw, key in zip(raws, keys, strict=True):
        assert unquote_to_bytes(names[key]) in (raw, raw.rsplit(b"/", 1)[-1])
        if sum(r.rsplit(b"/", 1)[-1] == raw.rsplit(b"/", 1)[-1] for r in raws) == 1:
            assert "/" not in names[key]


@given(st.lists(st.tuples(st.sampled_from(["a", "a/b", "a%2Fb", "c, d"]), path), unique=True))
def test_collections_keep_equal_paths_apart(images: list[tuple[str, bytes]]) -> None:
    names = {in_collection(collection, *readable(raw)) for collection, raw in images}
    assert len(names) == len(images)


@given(st.dictionaries(path, st.lists(path, max_size=4), max_size=5))
def test_a_line_parses_back(lists: dict[bytes, list[bytes]]) -> None:
    lines = {
        exported(*readable(query)): [exported(*readable(match)) for match in matches]
        for query, matches in lists.items()
    }
    written = "".join(
        f"{name}: {', '.join(names)}".rstrip() + "\n" for name, names in lines.items()
    )
    assert dict(read_reid_test(written)) == lines


def test_plain_names_stay_as_they_are() -> None:
    for name in ("000616.jpg", "0474_c3_012345678.jpg", "Käthe (2) + 日本~.png", "a b.jpg"):
        assert exported(name) == name
        assert exported(*readable(os.fsencode(name))) == name
