"""The default network: one small trunk, an attribute head and an embedding head with a neck."""

# N images, H=128 and W=64 pixels, F=1280 features, A=56 scores, D=512 embedding numbers

from typing import NamedTuple

import torch
from torch import Tensor, nn

from db.attributes import COLUMNS, NUM_VALUES
from models.trunks import MobileNetV2

NUM_SCORES = sum(NUM_VALUES.values())
EMBEDDING_DIM = 512
_SIZES = [NUM_VALUES[column] for column in COLUMNS]


class Training(NamedTuple):
    """What the losses need: the embedding before and after the neck, and attribute logits."""

    raw_ND: Tensor
    neck_ND: Tensor
    logits_NA: Tensor


def column_softmax(logits_NA: Tensor) -> Tensor:
    """Scores (N, 56) in [0, 1] that sum to one within each of the 27 columns."""
    parts = torch.split(logits_NA, _SIZES, dim=1)
    return torch.cat([part.softmax(dim=1) for part in parts], dim=1)


class JointNet(nn.Module):
    """Images (N, 3, 128, 64), ImageNet-normalised, to 56 scores and an L2-normalised embedding.

    The neck is a batch normalisation between the triplet loss (before it) and the identity loss
    (after it); search uses what comes after it. Source: Luo et al., "Bag of Tricks", 2019.
    """

    architecture = "joint-mobilenet_v2"
    normalised = True

    def __init__(self) -> None:
        super().__init__()
        self.trunk = MobileNetV2(last_stride=1)
        features = self.trunk.num_features
        self.embedding = nn.Linear(features, EMBEDDING_DIM, bias=False)
        self.neck = nn.BatchNorm1d(EMBEDDING_DIM)
        self.neck.bias.requires_grad_(False)
        self.attributes = nn.Sequential(nn.Dropout(0.2), nn.Linear(features, NUM_SCORES))

    def training_outputs(self, images_NCHW: Tensor) -> Training:
        """The two embeddings and the logits, for the losses."""
        pooled_NF = self.trunk(images_NCHW).float().mean(dim=(2, 3))
        raw_ND = self.embedding(pooled_NF)
        return Training(raw_ND, self.neck(raw_ND), self.attributes(pooled_NF))

    def forward(self, images_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (N, 56) in [0, 1] and embeddings (N, 512) of length 1."""
        outputs = self.training_outputs(images_NCHW)
        embeddings_ND = nn.functional.normalize(outputs.neck_ND.float(), dim=1)
        return column_softmax(outputs.logits_NA.float()), embeddings_ND
