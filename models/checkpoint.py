"""Checkpoints: safetensors with a JSON header, read without pickle, known by their content hash."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from errors import ReidError
from images.preprocessing import Preprocessing
from vocabulary import COLUMNS, NAMES

FORMAT = 1
_KEY = "reid"
_MAX_HEADER = 100_000_000  # safetensors' own limit, in bytes
_DIMENSION = 512  # what the database stores


class BadCheckpoint(ReidError):
    """A checkpoint file cannot be used; the message says why."""

    http_status = 503


@dataclass(frozen=True)
class Header:
    """What a checkpoint says of itself.

    `distance` is `l2`; `max_distance` is the calibrated limit for `--max-distance auto`, with the
    figures it was chosen on in `calibration`; `rerank_max_distance` is that of the re-ranked
    distance. The limits are those of `centred` embeddings or of plain ones (`metrics.centring`),
    `other_limits` those of the other kind under the same names. `trained_pids` belong to
    `identity_space`, and `trained_people` are all people trained on, by the space of their numbers.
    With `flip_average` an image counts together with its mirror image, at twice the cost.
    """

    architecture: str
    preprocessing: Preprocessing
    dimension: int = _DIMENSION
    distance: str = "l2"
    normalised: bool = True
    flip_average: bool = False
    attribute_names: tuple[str, ...] = NAMES
    max_distance: float | None = None
    calibration: Mapping[str, Any] = field(default_factory=dict)
    rerank_max_distance: float | None = None
    rerank_calibration: Mapping[str, Any] = field(default_factory=dict)
    centred: bool = False
    other_limits: Mapping[str, Any] = field(default_factory=dict)
    cutoffs: Mapping[str, float] = field(default_factory=dict)
    trained_pids: tuple[int, ...] = ()
    identity_space: str = "default"
    trained_people: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    notes: str = ""

    def __post_init__(self) -> None:
        if (self.dimension, self.distance) != (_DIMENSION, "l2"):
            raise ValueError(
                f"expected {_DIMENSION} numbers and l2, got {self.dimension} and {self.distance}"
            )
        if self.max_distance is not None and not 0 <= self.max_distance < math.inf:
            raise ValueError(f"max_distance is {self.max_distance}, expected a distance or null")
        if self.centred and not self.normalised:
            raise ValueError("only embeddings of length 1 can be centred")
        if self.rerank_max_distance is not None and not 0 <= self.rerank_max_distance <= 1:
            raise ValueError(
                f"rerank_max_distance is {self.rerank_max_distance}, expected 0 to 1 or null"
            )
        for column, cutoff in self.cutoffs.items():
            if column not in COLUMNS or not 0 <= cutoff <= 1:
                raise ValueError(
                    f"the cut-off of {column} is {cutoff}, expected 0 to 1 of a column"
                )

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Header":
        """Raises KeyError, TypeError or ValueError when `value` is not what `to_json` wrote."""
        known = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
        known["preprocessing"] = Preprocessing.from_json(value["preprocessing"])
        known["cutoffs"] = dict(value.get("cutoffs", {}))
        known["attribute_names"] = tuple(value["attribute_names"])
        known["trained_pids"] = tuple(int(pid) for pid in value.get("trained_pids", ()))
        known["trained_people"] = {
            str(space): tuple(int(pid) for pid in pids)
            for space, pids in value.get("trained_people", {}).items()
        }
        return cls(**known)


def content_hash(path: Path) -> str:
    """SHA-256 of the file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_header(path: Path) -> Header:
    """The header alone: no tensor is read and torch is not imported.

    Raises BadCheckpoint for a missing, truncated, pickled or foreign file, or another attribute
    list than this program's 56 names.
    """
    size, text = _raw_header(path)
    try:
        document = json.loads(text)
        stored = document.get("__metadata__", {}).get(_KEY)
        tensors = [value for name, value in document.items() if name != "__metadata__"]
        expected = 8 + len(text) + max((int(t["data_offsets"][1]) for t in tensors), default=0)
    except (ValueError, ArithmeticError, AttributeError, LookupError, TypeError, RecursionError):
        raise BadCheckpoint(f"{path} is not a safetensors file; {_WAY_OUT}") from None
    if size < expected:
        raise BadCheckpoint(
            f"{path} is truncated: {size} bytes of {expected}; copy it again from its source"
        )
    if stored is None:
        raise BadCheckpoint(f"{path} has no Reid search header; {_WAY_OUT}")
    return _parse(path, stored)


_WAY_OUT = "expected a checkpoint that `reid train` wrote"


def _raw_header(path: Path) -> tuple[int, bytes]:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = int.from_bytes(start, "little")
            if len(start) < 8 or not 2 <= length <= _MAX_HEADER:
                raise BadCheckpoint(f"{path} {_foreign(start)}; {_WAY_OUT}")
            text = file.read(length)
    except FileNotFoundError:
        raise BadCheckpoint(f"no checkpoint file {path}; see `reid model list`") from None
    except OSError as error:
        raise BadCheckpoint(f"cannot read {path}: {error.strerror}") from None
    if len(text) < length:
        raise BadCheckpoint(f"{path} is truncated in its header; copy it again from its source")
    return size, text


def _foreign(start: bytes) -> str:
    # asked only of an impossible length: that of a good file may well begin with 0x80 or PK
    if start[:2] == b"PK" or start[:1] == b"\x80":
        return "is a pickled PyTorch file, which can run code when opened"
    return "is not a safetensors file"


def _parse(path: Path, stored: str) -> Header:
    try:
        value = json.loads(stored)
        if value["format"] != FORMAT:
            raise BadCheckpoint(
                f"{path} has header format {value['format']}, this program reads {FORMAT}; "
                "use the version of Reid search that wrote it"
            )
        header = Header.from_json(value)
    except KeyError as error:
        raise BadCheckpoint(f"{path} has a damaged Reid search header: no {error}") from None
    except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise BadCheckpoint(f"{path} has a damaged Reid search header: {error}") from None
    if header.attribute_names != NAMES:
        raise BadCheckpoint(
            f"{path} was trained on another attribute list ({len(header.attribute_names)} names, "
            f"expected the {len(NAMES)} from {NAMES[0]} to {NAMES[-1]})"
        )
    return header


def to_metadata(header: Header) -> dict[str, str]:
    """The header as safetensors keeps it."""
    return {_KEY: json.dumps(header.to_json(), sort_keys=True)}
