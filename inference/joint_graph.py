"""The default network as an ONNX graph, straight from a checkpoint's tensors: torch is not needed.

The layers are those of `models.nets.joint_net` in evaluation mode, with each batch normalisation
folded into the layer before it. A test holds both equal.
"""

# N images, C channels, F=1280 features, A=56 scores, D=512 embedding numbers

from collections.abc import Mapping
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt

from inference.onnx_graph import Graph
from models.checkpoint import Header
from models.mobilenet_v2 import STEM, Block, blocks
from vocabulary import COLUMNS, NUM_VALUES

Array = npt.NDArray[np.float32]
Tensors = Mapping[str, Array]

_BLOCKS = tuple(blocks(last_stride=1))
_PRECISE = 2  # blocks
_DOWN = 16  # an image's height and width, divided by those of the maps
_EPS = 1e-5  # torch's batch normalisation
_SHORTEST = 1e-12  # torch's `normalize` divides by no less
_NEVER = -1e4  # a logit whose softmax is 0 in any number format
_SIZES = [NUM_VALUES[column] for column in COLUMNS]
_WIDEST = max(_SIZES)


def joint_graph(tensors: Tensors, header: Header) -> Graph:
    """From `pixels` (N, H, W, 3), uint8 RGB, to `scores` (N, 56), `embedding` (N, 512) and, where
    the network has learned it, `quality` (N,).

    With `header.flip_average` the mirror images run beside the images, and the mean is given.
    Raises KeyError where a tensor is missing.
    """
    writer = _Writer(tensors, header)
    writer.finish(writer.begin())
    return writer.graph


def joint_halves(tensors: Tensors, header: Header) -> tuple[Graph, Graph]:
    """The same in two, for an engine of 16-bit numbers: the first, to be run in 32 bits, ends after
    `_PRECISE` blocks, with `maps` that the second begins with.

    The first layers have few channels and large maps: what is rounded there is never averaged out,
    and doubles what is rounded in all the rest. Raises KeyError where a tensor is missing.
    """
    first, second = _Writer(tensors, header), _Writer(tensors, header)
    maps, offset_C = first.begin()
    channels = len(offset_C)
    shape = ("M", channels, "rows", "columns")
    first.graph.output(maps, "maps", shape)
    second.finish((second.graph.input("maps", np.float32, shape), offset_C))
    return first.graph, second.graph


class _Writer:
    def __init__(self, tensors: Tensors, header: Header) -> None:
        self.tensors, self.header = tensors, header
        self.graph = Graph("reid")

    def begin(self) -> tuple[str, Array]:
        """From pixels to the maps after the first blocks, less an offset for each channel, and the
        offset."""
        graph, size = self.graph, self.header.preprocessing
        pixels = graph.input("pixels", np.uint8, ("N", size.height, size.width, 3))
        images = self._normalised(pixels)
        if self.header.flip_average:
            images = graph.node("Concat", images, self._mirrored(images), axis=0)
        maps = self._conv(images, "trunk.features.0", stride=2)
        return self._blocks(maps, np.zeros(STEM, np.float32), range(_PRECISE))

    def finish(self, begun: tuple[str, Array]) -> None:
        """From those maps to the outputs."""
        graph, last = self.graph, len(_BLOCKS)
        maps, offset_C = self._blocks(*begun, range(_PRECISE, last))
        maps = self._conv(maps, f"trunk.features.{last + 1}", offset_C=offset_C)
        columns = graph.node("ReduceMean", maps, graph.integers(3), keepdims=0)
        whole = self._mean(columns)
        scores = self._scores(whole)
        embeddings = self._embeddings(columns, whole, scores)
        quality = self._quality(whole) if "quality.weight" in self.tensors else None
        if self.header.flip_average:
            scores = self._mean_of_halves(scores, sum(_SIZES))
            mean = self._mean_of_halves(embeddings, self.header.dimension)
            embeddings = self._of_length_one(mean)
            quality = quality and self._mean_of_halves(quality, 1)
        graph.output(scores, "scores", ("N", sum(_SIZES)))
        graph.output(embeddings, "embedding", ("N", self.header.dimension))
        if quality:
            graph.output(graph.node("Squeeze", quality, graph.integers(1)), "quality", ("N",))

    def _normalised(self, pixels_NHWC: str) -> str:
        graph, size = self.graph, self.header.preprocessing
        mean = np.multiply(size.mean, 255, dtype=np.float32)
        scale = np.reciprocal(np.multiply(size.std, 255, dtype=np.float32))
        values = graph.node("Cast", pixels_NHWC, to=1)
        values = graph.node("Sub", values, graph.tensor(mean))
        values = graph.node("Mul", values, graph.tensor(scale))
        return graph.node("Transpose", values, perm=(0, 3, 1, 2))

    def _mirrored(self, images_NCHW: str) -> str:
        integers = self.graph.integers
        from_end = (integers(-1), integers(-(2**31)), integers(3), integers(-1))
        return self.graph.node("Slice", images_NCHW, *from_end)

    def _blocks(self, maps: str, offset_C: Array, positions: range) -> tuple[str, Array]:
        for position in positions:
            name = f"trunk.features.{position + 1}.conv"
            maps, offset_C = self._block(maps, name, _BLOCKS[position], offset_C)
        return maps, offset_C

    def _block(self, maps: str, name: str, block: Block, offset_C: Array) -> tuple[str, Array]:
        """What the block gives, less an offset for each channel, and the offset.

        A projection's output lies around its normalisation's bias, which may be large beside what
        it tells apart: 16-bit numbers would be used up by it. So it is left out, and added where
        the next layer begins, in its bias: the same sum, in exact numbers.
        """
        found, layer = maps, 0
        if block.expansion != 1:
            found, layer = self._conv(found, f"{name}.0", offset_C=offset_C), 1
        groups = block.inputs * block.expansion
        found = self._conv(found, f"{name}.{layer}", block.stride, groups)
        kernel, shift_C = self._folded(f"{name}.{layer + 1}", f"{name}.{layer + 2}")
        found = self._convolution(found, kernel, np.zeros_like(shift_C))
        if block.residual:
            return self.graph.node("Add", maps, found), offset_C + shift_C
        return found, shift_C

    def _conv(
        self,
        maps: str,
        name: str,
        stride: int = 1,
        groups: int = 1,
        offset_C: Array | None = None,
    ) -> str:
        graph = self.graph
        kernel, shift_C = self._folded(f"{name}.0", f"{name}.1")
        if offset_C is not None and kernel.shape[2] == 1:
            shift_C = shift_C + kernel[:, :, 0, 0] @ offset_C
        found = self._convolution(maps, kernel, shift_C, stride, groups)
        zero, six = np.array(0, np.float32), np.array(6, np.float32)
        return graph.node("Clip", found, graph.tensor(zero), graph.tensor(six))

    def _folded(self, conv: str, norm: str) -> tuple[Array, Array]:
        """Kernel and bias of a convolution with the batch normalisation after it."""
        scale_C, shift_C = self._scale_and_shift(norm)
        return self.tensors[f"{conv}.weight"] * scale_C[:, None, None, None], shift_C

    def _convolution(
        self, maps: str, kernel: Array, bias_C: Array, stride: int = 1, groups: int = 1
    ) -> str:
        size = kernel.shape[2]
        return self.graph.node(
            "Conv",
            maps,
            self.graph.tensor(kernel),
            self.graph.tensor(bias_C),
            kernel_shape=(size, size),
            strides=(stride, stride),
            pads=(size // 2,) * 4,
            group=groups,
        )

    def _scale_and_shift(self, norm: str) -> tuple[Array, Array]:
        mean, variance, weight, bias = (
            self.tensors[f"{norm}.{part}"].astype(np.float64)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        scale = weight / np.sqrt(variance + _EPS)
        return scale.astype(np.float32), (bias - mean * scale).astype(np.float32)

    def _mean(self, columns_NFH: str) -> str:
        return self.graph.node("ReduceMean", columns_NFH, self.graph.integers(2), keepdims=0)

    def _linear(self, values: str, weight_OI: Array, bias_O: Array | None = None) -> str:
        graph = self.graph
        bias = [] if bias_O is None else [graph.tensor(bias_O)]
        return graph.node("Gemm", values, graph.tensor(weight_OI), *bias, transB=1)

    def _scores(self, whole_NF: str) -> str:
        """A softmax within each column. Every column has the room of the widest; what nothing
        stands for gets a logit that never wins."""
        weight_AF, bias_A = self.tensors["attributes.1.weight"], self.tensors["attributes.1.bias"]
        places = np.array([c * _WIDEST + v for c, size in enumerate(_SIZES) for v in range(size)])
        room = len(_SIZES) * _WIDEST
        weight = np.zeros((room, weight_AF.shape[1]), np.float32)
        bias = np.full(room, _NEVER, np.float32)
        weight[places], bias[places] = weight_AF, bias_A
        graph = self.graph
        logits = self._linear(whole_NF, weight, bias)
        logits = graph.node("Reshape", logits, graph.integers(-1, len(_SIZES), _WIDEST))
        scores = graph.node("Softmax", logits, axis=2)
        scores = graph.node("Reshape", scores, graph.integers(-1, room))
        return graph.node("Gather", scores, graph.tensor(places.astype(np.int64)), axis=1)

    def _embeddings(self, columns_NFH: str, whole_NF: str, scores_NA: str) -> str:
        graph = self.graph
        areas = [whole_NF, *(self._mean(band) for band in self._bands(columns_NFH))]
        names = ["embedding", *(f"bands.{band}" for band in range(len(areas) - 1))]
        weights = [self.tensors[f"{name}.weight"] for name in names]
        scale_D, shift_D = self._scale_and_shift("neck")
        bounds = pairwise([0, *accumulate(len(weight) for weight in weights)])
        pieces = [
            self._linear(area, weight * scale_D[start:end, None], shift_D[start:end])
            for area, weight, (start, end) in zip(areas, weights, bounds, strict=True)
        ]
        neck = pieces[0] if len(pieces) == 1 else graph.node("Concat", *pieces, axis=1)
        embeddings = self._of_length_one(neck)
        if "fusion.weight" not in self.tensors:
            return embeddings
        joined = graph.node("Concat", embeddings, graph.node("Sqrt", scores_NA), axis=1)
        fused = self._linear(joined, self.tensors["fusion.weight"], self.tensors["fusion.bias"])
        return self._of_length_one(fused)

    def _bands(self, columns_NFH: str) -> list[str]:
        """As `torch.tensor_split`: the first bands are a row higher where it does not divide."""
        count = sum(name.startswith("bands.") for name in self.tensors)
        if not count:
            return []
        rows = -(-self.header.preprocessing.height // _DOWN)
        sizes = [rows // count + (band < rows % count) for band in range(count)]
        return self.graph.split(columns_NFH, sizes, axis=2)

    def _quality(self, whole_NF: str) -> str:
        logit = self._linear(whole_NF, self.tensors["quality.weight"], self.tensors["quality.bias"])
        return self.graph.node("Sigmoid", logit)

    def _of_length_one(self, rows_ND: str) -> str:
        graph = self.graph
        length = graph.node("ReduceL2", rows_ND, graph.integers(1), keepdims=1)
        shortest = graph.tensor(np.array(_SHORTEST, np.float32))
        return graph.node("Div", rows_ND, graph.node("Max", length, shortest))

    def _mean_of_halves(self, rows: str, width: int) -> str:
        """The mean of each image's row and its mirror image's, which stands N rows further."""
        graph = self.graph
        pairs = graph.node("Reshape", rows, graph.integers(2, -1, width))
        return graph.node("ReduceMean", pairs, graph.integers(0), keepdims=0)
