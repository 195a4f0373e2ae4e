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


def feature_rows(
    model_id: int,
    collection_id: int,
    image_ids: Sequence[int],
    camids: Sequence[int | None],
    labels: npt.ArrayLike,
    scores_NA: npt.NDArray[np.float32],
    qualities: Sequence[float | None],
    embeddings_ND: npt.NDArray[np.float32],
) -> bytes:
    """A whole binary COPY of the table `feature`, its columns in declared order.

    Rows with the same fields NULL follow each other, otherwise in the order given: they have one
    length, so NumPy packs them at once.
    """
    labels_NL = np.asarray(labels, np.int16).reshape(len(image_ids), -1)
    kinds: dict[tuple[bool, bool], list[int]] = {}
    for row, (camid, quality) in enumerate(zip(camids, qualities, strict=True)):
        kinds.setdefault((camid is None, quality is None), []).append(row)
    parts = [COPY_HEADER]
    for (no_camid, no_quality), rows in kinds.items():
        packed = np.zeros(
            len(rows),
            _feature_row(no_camid, no_quality, labels_NL, scores_NA, embeddings_ND),
        )
        packed["fields"] = 8
        _fill(packed, "model", model_id)
        _fill(packed, "image", [image_ids[row] for row in rows])
        _fill(packed, "collection", collection_id)
        _fill(packed, "camid", None if no_camid else [camids[row] for row in rows])
        _fill_array(packed, "labels", labels_NL[rows], _INT2_OID)
        _fill_array(packed, "scores", scores_NA[rows], _FLOAT4_OID)
        _fill(packed, "quality", None if no_quality else [qualities[row] for row in rows])
        dim = embeddings_ND.shape[1]
        packed["embedding"]["size"], packed["embedding"]["dim"] = 4 + 4 * dim, dim
        packed["embedding"]["x"] = embeddings_ND[rows]
        parts.append(packed.tobytes())
    return b"".join([*parts, COPY_END])


def _feature_row(
    no_camid: bool,
    no_quality: bool,
    labels_NL: npt.NDArray[np.int16],
    scores_NA: npt.NDArray[np.float32],
    embeddings_ND: npt.NDArray[np.float32],
) -> np.dtype[np.void]:
    """One row, field by field; a field that is NULL is a size alone."""

    def scalar(kind: str) -> list[tuple[str, str]]:
        return [("size", ">i4"), ("x", kind)]

    def array(kind: str, count: int) -> list[tuple[Any, ...]]:
        return [("size", ">i4"), ("head", ">i4", (5,)), ("items", scalar(kind), (count,))]

    null = [("size", ">i4")]
    vector = [("size", ">i4"), ("dim", ">i2"), ("flags", ">i2")]
    return np.dtype(
        [
            ("fields", ">i2"),
            ("model", scalar(">i8")),
            ("image", scalar(">i8")),
            ("collection", scalar(">i8")),
            ("camid", null if no_camid else scalar(">i2")),
            ("labels", array(">i2", labels_NL.shape[1])),
            ("scores", array(">f4", scores_NA.shape[1])),
            ("quality", null if no_quality else scalar(">f4")),
            ("embedding", [*vector, ("x", ">f4", (embeddings_ND.shape[1],))]),
        ]
    )


def _fill(packed: npt.NDArray[Any], name: str, values: Any) -> None:
    """A field of one number; None is NULL."""
    field = packed[name]
    if values is None:
        field["size"] = -1
    else:
        field["size"], field["x"] = field["x"].dtype.itemsize, values


def _fill_array(packed: npt.NDArray[Any], name: str, rows: npt.NDArray[Any], oid: int) -> None:
    """A field of one dimension without NULL: how many dimensions, flags, kind, length, first."""
    field, count = packed[name], rows.shape[1]
    width = field["items"]["x"].dtype.itemsize
    field["size"], field["head"] = 20 + count * (4 + width), (1, 0, oid, count, 1)
    field["items"]["size"], field["items"]["x"] = width, rows


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
