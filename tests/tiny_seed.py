"""The report's two trainings over a trunk that takes no time."""

# N images, H and W pixels

from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn

from models.nets.seed_nets import AttributeNet
from models.training.data import LabelledImages
from models.training.seed_recipe import AttributesRecipe, SiameseRecipe
from models.training.seed_training import AttributesTraining, SiameseTraining

CPU = torch.device("cpu")
ATTRIBUTES = AttributesRecipe.read("seed-attributes").with_changes(
    trunk="resnet34", batch=16, epochs=2, held_out=0.25
)
SIAMESE = SiameseRecipe.read("seed-siamese").with_changes(batch=16, epochs=2, held_out=0.25)


class TinyTrunk(nn.Module):
    """Images (N, 3, H, W) to 96 features: colours of a 4 x 8 grid."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d((8, 4))
        self.norm = nn.BatchNorm1d(96)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        features: Tensor = self.norm(self.pool(images_NCHW).flatten(1))
        return features


def build_tiny(_: str, *, weights: str | None = None) -> tuple[nn.Module, int]:
    if weights:
        raise URLError("no network here")
    return TinyTrunk(), 96


def attributes_of(images: LabelledImages, **changes: Any) -> AttributesTraining:
    return AttributesTraining(images, ATTRIBUTES.with_changes(**changes), CPU)


def siamese_of(images: LabelledImages, **changes: Any) -> SiameseTraining:
    torch.manual_seed(1)
    return SiameseTraining(
        images, SIAMESE.with_changes(**changes), CPU,
        attributes=AttributeNet("resnet34"), trunk="resnet34",
    )  # fmt: skip
