"""The report's two networks over its seven torchvision trunks, layer for layer.

`AttributeNet`: the trunk's last layer replaced by Linear 1024 -> 512 -> 56 and a sigmoid, nothing
between the Linears. `SiameseNet`: the trained trunk with an identity in that place, then
Linear 1024 -> 512 and a sigmoid. Source: Piva and Bulbarelli, sections 1.1.2 and 2.1.2.
"""

# N images, F trunk features, A=56 scores, D=512 embedding numbers

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from vocabulary import NAMES

TRUNKS: tuple[str, ...] = (
    "alexnet",
    "googlenet",
    "resnet34",
    "resnet50",
    "resnet152",
    "wide_resnet50_2",
    "resnext50_32x4d",
)
# how the architecture of a checkpoint ends that holds an `AttributeNet` and no embedding
ATTRIBUTES_ONLY = "-attributes"


def build_trunk(name: str, *, weights: str | None = None) -> tuple[nn.Module, int]:
    """A torchvision network with its last layer an identity, and its number of features F.

    `weights` is None or a torchvision weight name such as `DEFAULT`, which is downloaded.
    Raises ValueError for a name that is not one of `TRUNKS`.
    """
    if name not in TRUNKS:
        raise ValueError(f"no trunk {name!r}; known are {', '.join(TRUNKS)}")
    from torchvision import models

    options: dict[str, Any] = {"weights": weights}
    if name == "googlenet":
        # the auxiliary heads serve only training; built without a start they would cost seconds
        # and with weights torchvision would rescale pixels that this recipe feeds from 0 to 1
        options |= {"init_weights": False, "transform_input": False}
        options |= {} if weights else {"aux_logits": False}
    builder: Callable[..., nn.Module] = getattr(models, name)
    net = builder(**options)
    if name == "alexnet":
        classifier = net.get_submodule("classifier")
        assert isinstance(classifier, nn.Sequential)
        last = classifier[6]
        classifier[6] = nn.Identity()
    else:
        last = net.get_submodule("fc")
        net.fc = nn.Identity()
    assert isinstance(last, nn.Linear)
    if name == "googlenet" and weights:
        net.aux_logits, net.aux1, net.aux2 = False, None, None  # type: ignore[assignment]
    return net, last.in_features


class AttributeNet(nn.Module):
    """Images (N, 3, 128, 128) in [0, 1] to scores (N, 56) in [0, 1]."""

    def __init__(self, trunk: str = "resnet50", *, weights: str | None = None) -> None:
        super().__init__()
        self.trunk, features = build_trunk(trunk, weights=weights)
        self.head = nn.Sequential(
            nn.Linear(features, 1024),
            nn.Linear(1024, 512),
            nn.Linear(512, len(NAMES)),
            nn.Sigmoid(),
        )

    def forward(self, images_NCHW: Tensor) -> Tensor:
        scores_NA: Tensor = self.head(self.trunk(images_NCHW))
        return scores_NA


class SiameseNet(nn.Module):
    """Images (N, 3, 128, 128) in [0, 1] to embeddings (N, 512) in [0, 1], not L2-normalised."""

    def __init__(self, trunk: str = "resnet50") -> None:
        super().__init__()
        self.trunk, features = build_trunk(trunk)
        self.head = nn.Sequential(nn.Linear(features, 1024), nn.Linear(1024, 512), nn.Sigmoid())

    def start_from(self, attribute_net: AttributeNet) -> None:
        """Takes over the trunk that the attribute task has trained."""
        self.trunk.load_state_dict(attribute_net.trunk.state_dict())

    def forward(self, images_NCHW: Tensor) -> Tensor:
        embeddings_ND: Tensor = self.head(self.trunk(images_NCHW))
        return embeddings_ND


class SeedNet(nn.Module):
    """Both networks side by side, as the worker runs them: scores (N, 56), embeddings (N, 512)."""

    normalised = False

    def __init__(self, trunk: str = "resnet50") -> None:
        super().__init__()
        self.architecture = f"seed-{trunk}"
        self.attributes = AttributeNet(trunk)
        self.siamese = SiameseNet(trunk)

    def forward(self, images_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        return self.attributes(images_NCHW), self.siamese(images_NCHW)
