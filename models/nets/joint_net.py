"""The default network: one small trunk; heads for attributes, embedding and crop quality."""

# N images, H and W pixels, F=1280 features, A=56 scores, D=512 embedding numbers

from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.nets.trunks import MobileNetV2
from vocabulary import COLUMNS, NUM_VALUES

NUM_SCORES = sum(NUM_VALUES.values())
EMBEDDING_DIM = 512
_SIZES = [NUM_VALUES[column] for column in COLUMNS]


class Training(NamedTuple):
    """What the losses need: the embedding before and after the neck, and logits."""

    raw_ND: Tensor
    neck_ND: Tensor
    logits_NA: Tensor
    quality_N: Tensor | None

    def full(self) -> "Training":
        """The same in 32 bit, as losses want it."""
        quality_N = None if self.quality_N is None else self.quality_N.float()
        return Training(
            self.raw_ND.float(), self.neck_ND.float(), self.logits_NA.float(), quality_N
        )


def column_softmax(logits_NA: Tensor) -> Tensor:
    """Scores (N, 56) in [0, 1] that sum to one within each of the 27 columns."""
    parts = torch.split(logits_NA, _SIZES, dim=1)
    return torch.cat([part.softmax(dim=1) for part in parts], dim=1)


def _mean(maps_NFHW: Tensor) -> Tensor:
    return maps_NFHW.mean(dim=(2, 3))


class JointNet(nn.Module):
    """Images (N, 3, H, W), ImageNet-normalised, to 56 scores, an L2-normalised embedding, quality.

    Half of the embedding looks at the whole image, the other half at `parts` equal bands from top
    to bottom: shirt and trousers are compared each for itself. Source: Sun et al., "Beyond Part
    Models", 2018. Without parts it is the first released network, which has no quality either.

    The neck is a batch normalisation between the triplet loss (before it) and the identity loss
    (after it); search uses what comes after it. Source: Luo et al., "Bag of Tricks", 2019.

    A `fused` network has one more layer, which `models.nets.fusion` fits when training is over: the
    roots of the scores join the embedding, and both become one vector of the same length.
    """

    normalised = True

    def __init__(self, parts: int = 2, *, fused: bool = False) -> None:
        super().__init__()
        self.trunk = MobileNetV2(last_stride=1)
        features = self.trunk.num_features
        whole = EMBEDDING_DIM // 2 if parts else EMBEDDING_DIM
        self.embedding = nn.Linear(features, whole, bias=False)
        self.bands = nn.ModuleList(
            nn.Linear(features, whole // parts, bias=False) for _ in range(parts)
        )
        self.neck = nn.BatchNorm1d(EMBEDDING_DIM)
        self.neck.bias.requires_grad_(False)
        self.attributes = nn.Sequential(nn.Dropout(0.2), nn.Linear(features, NUM_SCORES))
        self.quality = nn.Linear(features, 1) if parts else None
        self.fusion = nn.Linear(EMBEDDING_DIM + NUM_SCORES, EMBEDDING_DIM) if fused else None

    @property
    def architecture(self) -> str:
        if self.fusion is not None:
            return FUSED
        return WITH_PARTS if self.bands else PLAIN

    @property
    def widths(self) -> list[int]:
        """How many of the embedding's numbers come from the whole image, then from each band."""
        return [layer.out_features for layer in self.pieces]

    @property
    def pieces(self) -> list[nn.Linear]:
        """The layers whose outputs, one after the other, are the embedding."""
        bands = [band for band in self.bands if isinstance(band, nn.Linear)]
        return [self.embedding, *bands]

    def training_outputs(self, images_NCHW: Tensor) -> Training:
        """The embedding before and after the neck, and the logits, for the losses."""
        return self.heads(self.trunk(images_NCHW).float())

    def heads(self, maps_NFHW: Tensor) -> Training:
        """The same from the trunk's feature maps, (N, 1280, H/16, W/16) in 32 bit."""
        pooled_NF = _mean(maps_NFHW)
        # tensor_split and not chunk: three bands of eight rows are 3, 3 and 2 rows, none is lost
        bands = torch.tensor_split(maps_NFHW, len(self.bands), dim=2) if self.bands else ()
        areas = [pooled_NF, *(_mean(band) for band in bands)]
        pieces = [layer(area) for layer, area in zip(self.pieces, areas, strict=True)]
        raw_ND = torch.cat(pieces, dim=1)
        quality_N = None if self.quality is None else self.quality(pooled_NF).squeeze(1)
        return Training(raw_ND, self.neck(raw_ND), self.attributes(pooled_NF), quality_N)

    def forward(self, images_NCHW: Tensor) -> tuple[Tensor, ...]:
        """Scores (N, 56) in [0, 1], embeddings (N, 512) of length 1, and where the network has
        learned it, crop quality (N,) in [0, 1]."""
        outputs = self.training_outputs(images_NCHW)
        embeddings_ND = nn.functional.normalize(outputs.neck_ND.float(), dim=1)
        scores_NA = column_softmax(outputs.logits_NA.float())
        if self.fusion is not None:
            joined = torch.cat([embeddings_ND, scores_NA.sqrt()], dim=1)
            embeddings_ND = nn.functional.normalize(self.fusion(joined), dim=1)
        found = (scores_NA, embeddings_ND)
        if outputs.quality_N is None:
            return found
        return (*found, outputs.quality_N.float().sigmoid())


PLAIN = "joint-mobilenet_v2"
WITH_PARTS = "joint-mobilenet_v2-parts"
FUSED = "joint-mobilenet_v2-parts-fused"
