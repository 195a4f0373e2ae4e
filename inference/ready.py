"""From a checkpoint to what an inference runtime loads: an ONNX model, made anew each time.

It is made from the checkpoint's own tensors in a twentieth of a second, so nothing is kept that
could be damaged, out of date or somebody else's.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from errors import ReidError
from inference.joint_graph import Array, Tensors, joint_graph, joint_halves
from inference.onnx_graph import Graph
from models.checkpoint import BadCheckpoint, Header

_FAMILY = "joint-mobilenet_v2"
_OUTPUTS = {
    "scores": "a probability in [0, 1] for each of attribute_names",
    "embedding": "compare by L2 distance: lower is closer",
    "quality": "how good the crop is, in [0, 1], higher is better; missing in older networks",
}


@dataclass(frozen=True)
class Ready:
    """An ONNX file's bytes and the names of its outputs."""

    content: bytes
    outputs: tuple[str, ...]


class NoReadyForm(ReidError):
    """Only torch runs this network."""

    http_status = 501


def has_ready_form(architecture: str) -> bool:
    """Whether a runtime can run such a network; torch runs every one."""
    return architecture.startswith(_FAMILY)


def ready_form(path: Path, header: Header) -> Ready:
    """An ONNX file that takes `pixels`, uint8 (N, H, W, 3), RGB, and gives `scores` (N, 56),
    `embedding` (N, 512) and, where the network has learned it, `quality` (N,).

    Preprocessing and mirror image are in it. Its metadata has the header as JSON under `reid`, and
    what a stranger needs under names of their own. Raises BadCheckpoint, NoReadyForm.
    """
    (graph,) = _written(path, header, lambda tensors: (joint_graph(tensors, header),))
    return Ready(graph.to_bytes(metadata(header)), graph.output_names)


def ready_halves(path: Path, header: Header) -> tuple[bytes, bytes]:
    """The same network as two ONNX files to be run one after the other, the first in 32 bits; see
    `inference.joint_graph.joint_halves`. Raises BadCheckpoint, NoReadyForm."""
    first, second = _written(path, header, lambda tensors: joint_halves(tensors, header))
    return first.to_bytes({}), second.to_bytes({})


def _written(
    path: Path, header: Header, write: Callable[[Tensors], tuple[Graph, ...]]
) -> tuple[Graph, ...]:
    if not has_ready_form(header.architecture):
        raise NoReadyForm(f"only torch runs {header.architecture}")
    tensors = _Used(_tensors(path))
    try:
        graphs = write(tensors)
    except (KeyError, ValueError, IndexError) as error:
        raise BadCheckpoint(
            f"{path} does not hold the weights of {header.architecture}: {error}"
        ) from None
    if tensors.unused:
        raise NoReadyForm(
            f"only torch runs {path}: this version knows no use for its {tensors.unused[0]}"
        )
    return graphs


def metadata(header: Header) -> dict[str, str]:
    """What stands in an ONNX file, all as JSON."""
    size = header.preprocessing
    named = {
        "reid": asdict(header),
        "preprocessing": {
            "colours": "RGB",
            "height": size.height,
            "width": size.width,
            "resize": "stretched, bilinear",
            "normalised": "inside, from bytes",
            "mirror_image": "inside" if header.flip_average else "none",
        },
        "attribute_names": header.attribute_names,
        "outputs": _OUTPUTS,
        "cutoffs": header.cutoffs,
        "max_distance": header.max_distance,
        "metrics": header.metrics,
    }
    return {key: json.dumps(value, sort_keys=True) for key, value in named.items()}


def _tensors(path: Path) -> dict[str, Array]:
    from safetensors.numpy import load_file

    try:
        stored = load_file(path)
    except Exception as error:
        raise BadCheckpoint(f"{path} cannot be read: {error}") from error
    broken = sorted(name for name, tensor in stored.items() if not np.isfinite(tensor).all())
    if broken:
        raise BadCheckpoint(
            f"the weights for {path} are not all finite numbers, the first are {broken[0]}; "
            "go back to an earlier checkpoint"
        )
    return {name: tensor.astype(np.float32) for name, tensor in stored.items()}


class _Used(Mapping[str, Array]):
    """Tensors by name, and which of them nobody has asked for."""

    def __init__(self, tensors: dict[str, Array]) -> None:
        self._tensors, self._used = tensors, set[str]()

    def __getitem__(self, name: str) -> Array:
        self._used.add(name)
        return self._tensors[name]

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    @property
    def unused(self) -> list[str]:
        return sorted(self._tensors.keys() - self._used)
