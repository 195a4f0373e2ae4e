"""The small trunk of the default network, written out so that loading it needs no torchvision.

Importing torchvision costs as much as importing torch, and every cold `reid search IMAGE` would pay
for it. The layers, their order and their names are those of MobileNetV2 (Sandler et al., 2018,
width 1.0), so that ImageNet weights map onto them tensor for tensor.
"""

# N images, C channels, H and W pixels

from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.mobilenet_v2 import LAST, STEM, Block, blocks


class Pointwise(nn.Conv2d):
    """A 1x1 convolution without bias that may multiply in bfloat16 while it is trained.

    These hold nearly all of the network's products. On a CPU with tile instructions they are worth
    doing in 16 bit; filters by channel and normalisation are not, and stay in 32 bit.
    """

    in_bfloat16 = False

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        if not (self.in_bfloat16 and self.training):
            return super().forward(input)
        return nn.functional.conv2d(input.bfloat16(), self.weight.bfloat16()).float()


def has_tiles() -> bool:
    """Whether this CPU multiplies matrices of bfloat16 in tiles (AMX), where torch can tell."""
    capabilities: Callable[[], dict[str, object]] = getattr(torch.cpu, "get_capabilities", dict)
    return bool(capabilities().get("amx_bf16"))


def multiply_in_bfloat16(trunk: nn.Module) -> None:
    """Make every pointwise convolution of `trunk` train in bfloat16; evaluation stays in 32 bit."""
    for module in trunk.modules():
        if isinstance(module, Pointwise):
            module.in_bfloat16 = True


def _conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    if kernel == 1:
        filters: nn.Conv2d = Pointwise(inputs, outputs)
    else:
        filters = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(
        filters,
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """Expand, filter by channel, project; added to its input where the shapes agree."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        hidden = block.inputs * block.expansion
        layers: list[nn.Module] = [] if block.expansion == 1 else [_conv(block.inputs, hidden, 1)]
        layers += [
            _conv(hidden, hidden, 3, block.stride, groups=hidden),
            Pointwise(hidden, block.outputs),
            nn.BatchNorm2d(block.outputs),
        ]
        self.conv = nn.Sequential(*layers)
        self.residual = block.residual

    def forward(self, x_NCHW: Tensor) -> Tensor:
        out: Tensor = self.conv(x_NCHW)
        return x_NCHW + out if self.residual else out


class MobileNetV2(nn.Module):
    """Images (N, 3, H, W) to feature maps (N, 1280, H/16, W/16) with `last_stride` 1, else H/32."""

    num_features = LAST

    def __init__(self, last_stride: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv(3, STEM, 3, 2)]
        parts = list(blocks(last_stride))
        layers += [InvertedResidual(block) for block in parts]
        layers.append(_conv(parts[-1].outputs, LAST, 1))
        self.features = nn.Sequential(*layers)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, images_NCHW: Tensor) -> Tensor:
        features: Tensor = self.features(images_NCHW)
        return features


def load_in_order(trunk: nn.Module, weights: list[Tensor]) -> None:
    """Copies tensors onto `trunk` in the order of its state, checking each shape.

    Raises ValueError when the numbers of tensors or a shape differ. `num_batches_tracked`
    counters are kept out of the count on both sides by the caller's choice of `weights`.
    """
    own = [t for name, t in trunk.state_dict().items() if not name.endswith("num_batches_tracked")]
    if len(own) != len(weights):
        raise ValueError(f"expected {len(own)} tensors, got {len(weights)}")
    with torch.no_grad():
        for position, (mine, theirs) in enumerate(zip(own, weights, strict=True)):
            if mine.shape != theirs.shape:
                raise ValueError(
                    f"tensor {position}: expected {tuple(mine.shape)}, got {tuple(theirs.shape)}"
                )
            mine.copy_(theirs)
