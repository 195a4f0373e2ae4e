"""The shape of MobileNetV2 (Sandler et al., 2018, table 2, width 1.0), block by block; no torch."""

from collections.abc import Iterator
from dataclasses import dataclass

STEM, LAST = 32, 1280
# expansion, output channels, number of blocks, stride of the first
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_LAST_STAGE = 160  # whose stride a network may leave out, for maps of twice the size


@dataclass(frozen=True)
class Block:
    """An inverted residual block."""

    inputs: int
    outputs: int
    stride: int
    expansion: int

    @property
    def residual(self) -> bool:
        """Whether its input is added to its output."""
        return self.stride == 1 and self.inputs == self.outputs


def blocks(last_stride: int) -> Iterator[Block]:
    """The blocks in order; `last_stride` is that of the last stage that has one."""
    inputs = STEM
    for expansion, outputs, count, stage_stride in _STAGES:
        first = last_stride if outputs == _LAST_STAGE else stage_stride
        for position in range(count):
            yield Block(inputs, outputs, first if position == 0 else 1, expansion)
            inputs = outputs
