"""An ONNX model written node by node: a graph is put together in Python and becomes a file's bytes.

Field numbers are those of `onnx.proto`, IR version 10, which ONNX Runtime and OpenVINO both read.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from inference import protobuf as pb

OPSET = 18
_IR_VERSION = 10
_ELEMENT = {np.dtype(np.float32): 1, np.dtype(np.uint8): 2, np.dtype(np.int64): 7}
_IS_FLOAT, _IS_INT, _IS_INTS = 1, 2, 7

Attribute = int | float | Sequence[int]
Dimension = int | str  # a name stands for any number


class Graph:
    """A graph in the making. A value is known by its name; each method gives that of its result."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[bytes] = []
        self._tensors: list[bytes] = []
        self._inputs: list[bytes] = []
        self._outputs: list[bytes] = []
        self.output_names: tuple[str, ...] = ()

    def input(self, name: str, dtype: npt.DTypeLike, shape: Sequence[Dimension]) -> str:
        """Declares what the graph takes."""
        self._inputs.append(_value(name, dtype, shape))
        return name

    def output(self, value: str, name: str, shape: Sequence[Dimension]) -> None:
        """Gives `value` out as `name`, in 32-bit floats."""
        self._add("Identity", [value], name, {})
        self._outputs.append(_value(name, np.float32, shape))
        self.output_names += (name,)

    def tensor(self, array: npt.NDArray[np.float32] | npt.NDArray[np.int64]) -> str:
        """A constant."""
        name = f"c{len(self._tensors)}"
        content = pb.integers(1, array.shape) + pb.integer(2, _ELEMENT[array.dtype])
        content += pb.string(8, name) + pb.data(9, np.ascontiguousarray(array).tobytes())
        self._tensors.append(content)
        return name

    def integers(self, *values: int) -> str:
        """A constant list of whole numbers, as many operators take them."""
        return self.tensor(np.array(values, np.int64))

    def node(self, operator: str, *inputs: str, **attributes: Attribute) -> str:
        """The one result of an operator."""
        name = f"v{len(self._nodes)}"
        self._add(operator, inputs, name, attributes)
        return name

    def split(self, value: str, sizes: Sequence[int], axis: int) -> list[str]:
        """A value cut along an axis into parts of these sizes."""
        names = [f"v{len(self._nodes)}_{part}" for part in range(len(sizes))]
        self._append("Split", [value, self.integers(*sizes)], names, {"axis": axis})
        return names

    def to_bytes(self, metadata: Mapping[str, str]) -> bytes:
        """The whole file. `metadata` stands in its `metadata_props`."""
        graph = b"".join(
            [
                *(pb.data(1, node) for node in self._nodes),
                pb.string(2, self._name),
                *(pb.data(5, tensor) for tensor in self._tensors),
                *(pb.data(11, value) for value in self._inputs),
                *(pb.data(12, value) for value in self._outputs),
            ]
        )
        properties = (
            pb.data(14, pb.string(1, key) + pb.string(2, value)) for key, value in metadata.items()
        )
        return b"".join(
            [
                pb.integer(1, _IR_VERSION),
                pb.string(2, "reid-search"),
                pb.data(7, graph),
                pb.data(8, pb.string(1, "") + pb.integer(2, OPSET)),
                *properties,
            ]
        )

    def _add(
        self, operator: str, inputs: Sequence[str], name: str, attributes: Mapping[str, Attribute]
    ) -> None:
        self._append(operator, inputs, [name], attributes)

    def _append(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        attributes: Mapping[str, Attribute],
    ) -> None:
        content = b"".join(pb.string(1, name) for name in inputs)
        content += b"".join(pb.string(2, name) for name in outputs)
        content += pb.string(3, outputs[0]) + pb.string(4, operator)
        content += b"".join(
            pb.data(5, _attribute(name, value)) for name, value in attributes.items()
        )
        self._nodes.append(content)


def _attribute(name: str, value: Attribute) -> bytes:
    start = pb.string(1, name)
    if isinstance(value, float):
        return start + pb.real(2, value) + pb.integer(20, _IS_FLOAT)
    if isinstance(value, int):
        return start + pb.integer(3, value) + pb.integer(20, _IS_INT)
    return start + pb.integers(8, value) + pb.integer(20, _IS_INTS)


def _value(name: str, dtype: npt.DTypeLike, shape: Sequence[Dimension]) -> bytes:
    dimensions = b"".join(
        pb.data(1, pb.integer(1, size) if isinstance(size, int) else pb.string(2, size))
        for size in shape
    )
    kind = pb.integer(1, _ELEMENT[np.dtype(dtype)]) + pb.data(2, dimensions)
    return pb.string(1, name) + pb.data(2, pb.data(1, kind))
