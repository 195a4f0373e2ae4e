"""Rows as Postgres' binary COPY writes and reads them, packed with NumPy."""

# N rows, A=56 scores, D=512 embedding numbers

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
COPY_END = struct.pack(">h", -1)
_INT2_OID, _FLOAT4_OID = 21, 700
_NULL = struct.pack(">i", -1)


def vectors(embeddings_ND: npt.NDArray[np.float32]) -> list[bytes]:
    """pgvector's binary form of each row, with its length before it."""
    count, dim = embeddings_ND.shape
    packed = np.empty(
        count, dtype=[("size", ">i4"), ("dim", ">i2"), ("flags", ">i2"), ("x", ">f4", (dim,))]
    )
    packed["size"], packed["dim"], packed["flags"] = 4 + 4 * dim, dim, 0
    packed["x"] = embeddings_ND
    return [row.tobytes() for row in packed]


def small_arrays(values: npt.ArrayLike, *, real: bool) -> list[bytes]:
    """Each row of a 2-d array as `real[]` or `smallint[]`, with its length before it."""
    rows = np.asarray(values)
    count, size = rows.shape
    width, kind = (4, ">f4") if real else (2, ">i2")
    packed = np.empty(
        count, dtype=[("head", ">i4", (6,)), ("items", [("size", ">i4"), ("x", kind)], (size,))]
    )
    oid = _FLOAT4_OID if real else _INT2_OID
    packed["head"] = (20 + size * (4 + width), 1, 0, oid, size, 1)
    packed["items"]["size"], packed["items"]["x"] = width, rows
    return [row.tobytes() for row in packed]


def feature_rows(
    model_id: int,
    collection_id: int,
    image_ids: Sequence[int],
    camids: Sequence[int | None],
    labels: Sequence[Sequence[int]],
    scores_NA: npt.NDArray[np.float32],
    qualities: Sequence[float | None],
    embeddings_ND: npt.NDArray[np.float32],
) -> bytes:
    """A whole binary COPY of the table `feature`, its columns in declared order."""
    parts = [COPY_HEADER]
    parts_of = zip(
        image_ids,
        camids,
        small_arrays(labels, real=False),
        small_arrays(scores_NA, real=True),
        qualities,
        vectors(embeddings_ND),
        strict=True,
    )
    for image_id, camid, label, score, quality, vector in parts_of:
        parts += (
            struct.pack(">hiqiqiq", 8, 8, model_id, 8, image_id, 8, collection_id),
            _NULL if camid is None else struct.pack(">ih", 2, camid),
            label,
            score,
            _NULL if quality is None else struct.pack(">if", 4, quality),
            vector,
        )
    return b"".join([*parts, COPY_END])


def blob_rows(ids: Sequence[int], blobs: Sequence[bytes]) -> bytes:
    """A whole binary COPY of `bigint, bytea` rows."""
    parts = [COPY_HEADER]
    for number, blob in zip(ids, blobs, strict=True):
        parts += (struct.pack(">hiqi", 2, 8, number, len(blob)), blob)
    return b"".join([*parts, COPY_END])


def plain_rows(*columns: npt.NDArray[Any]) -> bytes:
    """A whole binary COPY of columns without NULL, each of its array's own width: int64 is a
    bigint, int32 an integer, float64 a double precision."""
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for number, column in enumerate(columns):
        fields += [(f"size{number}", ">i4"), (f"x{number}", column.dtype.newbyteorder(">").str)]
    rows = np.empty(len(columns[0]), fields)
    rows["fields"] = len(columns)
    for number, column in enumerate(columns):
        rows[f"size{number}"], rows[f"x{number}"] = column.itemsize, column
    return b"".join((COPY_HEADER, rows.tobytes(), COPY_END))


def vector_rows(ids_N: npt.NDArray[np.int64], vectors_ND: npt.NDArray[np.float32]) -> bytes:
    """A whole binary COPY of `bigint, vector` rows; `embeddings_from_copy` reads it."""
    rows = np.zeros(len(ids_N), _vector_row(vectors_ND.shape[1]))
    rows["fields"], rows["s1"], rows["id"] = 2, 8, ids_N
    dim = vectors_ND.shape[1]
    rows["s2"], rows["dim"], rows["x"] = 4 + 4 * dim, dim, vectors_ND
    return b"".join((COPY_HEADER, rows.tobytes(), COPY_END))


def _vector_row(dim: int) -> "np.dtype[np.void]":
    return np.dtype(
        [("fields", ">i2"), ("s1", ">i4"), ("id", ">i8"), ("s2", ">i4"), ("dim", ">i2"),
         ("flags", ">i2"), ("x", ">f4", (dim,))]
    )  # fmt: skip


def vectors_from_send(values: Sequence[bytes], dim: int) -> npt.NDArray[np.float32]:
    """(N, dim) from what `vector_send` gives for each of N rows.

    Raises ValueError where a vector has another length.
    """
    # pgvector's binary form: two 16-bit integers, then big-endian float32
    data = b"".join(bytes(value)[4:] for value in values)
    return np.frombuffer(data, ">f4").astype(np.float32).reshape(len(values), dim)


def vector_from_send(value: bytes) -> npt.NDArray[np.float32]:
    """The vector of one `vector_send`."""
    return vectors_from_send([value], (len(value) - 4) // 4).reshape(-1)


def embeddings_from_copy(
    data: bytes, dim: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """(ids, embeddings) from a binary COPY of `bigint, vector` rows without NULL.

    Raises ValueError where the bytes are anything else.
    """
    row = _vector_row(dim)
    body = len(data) - len(COPY_HEADER) - len(COPY_END)
    if body % row.itemsize or not data.endswith(COPY_END):
        raise ValueError(f"expected rows of {row.itemsize} bytes")
    rows = np.frombuffer(data, row, count=body // row.itemsize, offset=len(COPY_HEADER))
    if len(rows) and not (rows["dim"] == dim).all():
        raise ValueError(f"expected vectors of {dim} numbers")
    return rows["id"].astype(np.int64), rows["x"].astype(np.float32)
