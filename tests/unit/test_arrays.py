"""What NumPy packs for COPY is what Postgres' own binary form says it is."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.arrays import (
    COPY_END,
    COPY_HEADER,
    blob_rows,
    embeddings_from_copy,
    feature_rows,
    plain_rows,
)

FLOAT = st.floats(width=32, allow_nan=False, allow_infinity=False)


def fields_of(data: bytes) -> list[list[bytes | None]]:
    """A reader of binary COPY, written from Postgres' documentation."""
    assert data.startswith(COPY_HEADER)
    assert data.endswith(COPY_END)
    rows, position = [], len(COPY_HEADER)
    while (count := struct.unpack_from(">h", data, position)[0]) != -1:
        position += 2
        row: list[bytes | None] = []
        for _ in range(count):
            size = struct.unpack_from(">i", data, position)[0]
            position += 4
            row.append(None if size == -1 else data[position : position + size])
            position += max(size, 0)
        rows.append(row)
    assert position == len(data) - 2
    return rows


def array_of(data: bytes, oid: int, letter: str, size: int) -> list[float]:
    dimensions, has_null, kind, count, lower = struct.unpack_from(">iiiii", data)
    assert (dimensions, has_null, kind, lower) == (1, 0, oid, 1)
    found = []
    for n in range(count):
        width, value = struct.unpack_from(f">i{letter}", data, 20 + n * (4 + size))
        assert width == size
        found.append(value)
    assert len(data) == 20 + count * (4 + size)
    return found


@given(
    st.lists(
        st.tuples(
            st.integers(1, 2**62),
            st.none() | st.integers(-1, 9999),
            st.none() | FLOAT,
            st.integers(0, 2**32 - 1),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_features_say_what_they_hold(
    rows: list[tuple[int, int | None, float | None, int]],
) -> None:
    count = len(rows)
    rng = np.random.default_rng([seed for *_, seed in rows])
    labels = rng.integers(1, 57, (count, 27)).tolist()
    scores_NA = rng.random((count, 56), np.float32)
    embeddings_ND = rng.normal(size=(count, 512)).astype(np.float32)
    data = feature_rows(
        7,
        8,
        [row[0] for row in rows],
        [row[1] for row in rows],
        labels,
        scores_NA,
        [row[2] for row in rows],
        embeddings_ND,
    )
    found = fields_of(data)
    assert len(found) == count
    # rows with the same fields NULL follow each other
    kinds = list(dict.fromkeys((row[1] is None, row[2] is None) for row in rows))
    of_row = [kinds.index((row[1] is None, row[2] is None)) for row in rows]
    order = sorted(range(count), key=of_row.__getitem__)
    for place_in_copy, n in enumerate(order):
        image_id, camid, quality, _ = rows[n]
        model, image, place, camera, label, score, good, vector = found[place_in_copy]
        assert (model, image, place) == tuple(struct.pack(">q", i) for i in (7, image_id, 8))
        assert camera == (None if camid is None else struct.pack(">h", camid))
        assert good == (None if quality is None else struct.pack(">f", quality))
        assert label is not None and array_of(label, 21, "h", 2) == labels[n]
        assert score is not None and array_of(score, 700, "f", 4) == scores_NA[n].tolist()
        assert vector is not None and struct.unpack_from(">hh", vector) == (512, 0)
        assert np.array_equal(np.frombuffer(vector[4:], ">f4"), embeddings_ND[n])


@given(st.lists(st.tuples(st.integers(-(2**62), 2**62), st.lists(FLOAT, min_size=3, max_size=3))))
def test_embeddings_come_back(rows: list[tuple[int, list[float]]]) -> None:
    body = b"".join(struct.pack(">hiqihh3f", 2, 8, key, 16, 3, 0, *values) for key, values in rows)
    ids, embeddings = embeddings_from_copy(COPY_HEADER + body + COPY_END, 3)
    assert ids.tolist() == [key for key, _ in rows]
    assert embeddings.dtype == np.float32
    assert embeddings.tolist() == [values for _, values in rows]


def test_other_bytes_are_refused() -> None:
    row = struct.pack(">hiqihh3f", 2, 8, 1, 16, 3, 0, 1, 2, 3)
    with pytest.raises(ValueError, match="expected rows of"):
        embeddings_from_copy(COPY_HEADER + row[:-1] + COPY_END, 3)
    with pytest.raises(ValueError, match="expected rows of"):
        embeddings_from_copy(COPY_HEADER + row, 3)
    other = struct.pack(">hiqihh3f", 2, 8, 1, 16, 2, 0, 1, 2, 3)
    with pytest.raises(ValueError, match="expected vectors of 3 numbers"):
        embeddings_from_copy(COPY_HEADER + other + COPY_END, 3)


@given(
    st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            st.integers(-(2**31), 2**31 - 1),
            st.floats(allow_nan=False),
        )
    )
)
def test_plain_columns_say_what_they_hold(rows: list[tuple[int, int, float]]) -> None:
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    kinds = (np.int64, np.int32, np.float64)
    data = plain_rows(*(np.array(c, k) for c, k in zip(columns, kinds, strict=True)))
    assert fields_of(data) == [
        [struct.pack(">q", big), struct.pack(">i", small), struct.pack(">d", real)]
        for big, small, real in rows
    ]


@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.binary(max_size=300))))
def test_blobs_say_what_they_hold(rows: list[tuple[int, bytes]]) -> None:
    data = blob_rows([number for number, _ in rows], [blob for _, blob in rows])
    assert fields_of(data) == [[struct.pack(">q", number), blob] for number, blob in rows]
