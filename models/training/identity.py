"""The identity loss: who of the training people is it, asked of the whole and of each part."""

# N images, D embedding numbers, K people

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training.losses import CosineIdentity
from models.training.recipe import JointRecipe


class Identities(nn.Module):
    """Cross-entropy of the whole embedding, and of each of its pieces with half a say each.

    `widths` are the pieces' numbers of columns, in order. The whole image's piece weighs as much as
    all bands together, so that more bands do not outvote it.
    """

    def __init__(self, widths: list[int], people: int, recipe: JointRecipe) -> None:
        super().__init__()
        self.widths, self.people = widths, people
        self.smoothing, self.part_weight = recipe.label_smoothing, recipe.part_weight
        scale, margin = recipe.identity_scale, recipe.identity_margin
        self.whole = CosineIdentity(sum(widths), people, scale, margin)
        self.pieces = nn.ModuleList(nn.Linear(width, people, bias=False) for width in widths)

    def forward(self, embeddings_ND: Tensor, people_N: Tensor) -> Tensor:
        """The loss of necked embeddings (N, D), not normalised, against positions from 0 to K-1."""
        loss = self._entropy(self.whole(embeddings_ND, people_N), people_N)
        bands = len(self.widths) - 1
        pieces = torch.split(embeddings_ND, self.widths, dim=1)
        for position, (piece, layer) in enumerate(zip(pieces, self.pieces, strict=True)):
            share = self.part_weight / (bands if position else 1)
            loss = loss + share * self._entropy(layer(piece), people_N)
        return loss

    def _entropy(self, logits_NK: Tensor, people_N: Tensor) -> Tensor:
        return functional.cross_entropy(logits_NK, people_N, label_smoothing=self.smoothing)

    def imprint(self, embeddings_ND: npt.NDArray[Any], people_N: Tensor) -> None:
        """Starts each person's weights as the mean of its normalised embeddings.

        Source: Qi et al., "Low-Shot Learning with Imprinted Weights", 2018.
        """
        rows_ND = torch.from_numpy(embeddings_ND)
        sums_KD = torch.zeros(self.people, rows_ND.shape[1]).index_add_(0, people_N, rows_ND)
        means_KD = functional.normalize(sums_KD)
        with torch.no_grad():
            self.whole.weight.copy_(means_KD)
            pieces = torch.split(means_KD, self.widths, dim=1)
            for layer, piece_KW in zip(self.pieces, pieces, strict=True):
                layer.get_parameter("weight").copy_(piece_KW)
