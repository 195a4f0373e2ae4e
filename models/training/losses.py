"""Training losses. Every one is a mean over the batch; lower is better."""

# N images, D embedding numbers, A=56 attribute logits, K identities

import torch
from torch import Tensor, nn
from torch.nn import functional

from vocabulary import COLUMNS, NUM_VALUES

_SIZES = [NUM_VALUES[column] for column in COLUMNS]


def pairwise_l2(a_ND: Tensor, b_MD: Tensor) -> Tensor:
    """L2 distances (N, M), not squared."""
    squared = a_ND.square().sum(1)[:, None] + b_MD.square().sum(1)[None] - 2 * a_ND @ b_MD.T
    return squared.clamp_min(1e-12).sqrt()


def batch_hard_triplet(embeddings_ND: Tensor, pids_N: Tensor) -> Tensor:
    """Soft-margin triplet loss on each image's hardest positive and hardest negative.

    A pid below 0 is nobody: a negative of everybody, never an anchor. Raises ValueError when no
    image of the batch has both. Source: Hermans et al., 2017.
    """
    distances = pairwise_l2(embeddings_ND, embeddings_ND)
    same = pids_N[:, None] == pids_N[None]
    self_ = torch.eye(len(pids_N), dtype=torch.bool, device=same.device)
    usable = (same & ~self_).any(1) & (~same).any(1) & (pids_N >= 0)
    if not usable.any():
        raise ValueError("expected a batch with two images of one person and a stranger")
    hardest_positive = distances.masked_fill(~same, 0.0).amax(1)
    hardest_negative = distances.masked_fill(same, torch.inf).amin(1)
    return functional.softplus(hardest_positive - hardest_negative)[usable].mean()


def contrastive(a_ND: Tensor, b_ND: Tensor, same_N: Tensor, margin: float = 2.0) -> Tensor:
    """Contrastive loss on pairs: the same person is pulled together, strangers beyond `margin`.

    `same_N` is 1 for two images of one person, else 0. Source: Hadsell et al., 2006.
    """
    distance = functional.pairwise_distance(a_ND, b_ND)
    pull = same_N * distance.square()
    push = (1 - same_N) * functional.relu(margin - distance).square()
    return (pull + push).mean()


class ColumnCrossEntropy(nn.Module):
    """Weighted cross-entropy of the 27 columns, (N, 56) logits against (N, 27) values from 1.

    A value of 0 is unknown and teaches nothing; a column that a batch knows nobody of gives 0. The
    weight of a value is (share of its column's most even split / its own share) ** `power`, at most
    `limit`: with `power` 0 every value counts the same.
    """

    def __init__(self, values_PC: Tensor, power: float = 0.5, limit: float = 4.0) -> None:
        super().__init__()
        for position, size in enumerate(_SIZES):
            known = values_PC[:, position][values_PC[:, position] > 0]
            counts = torch.bincount(known - 1, minlength=size).clamp_min(1)
            even = counts.sum() / size
            weight = (even / counts).pow(power).clamp(1 / limit, limit)
            self.register_buffer(f"weight_{position}", weight, persistent=False)

    def forward(self, logits_NA: Tensor, values_NC: Tensor) -> Tensor:
        losses = [
            self._column(position, part, values_NC[:, position] - 1)
            for position, part in enumerate(torch.split(logits_NA, _SIZES, dim=1))
        ]
        return torch.stack(losses).mean()

    def _column(self, position: int, logits_NV: Tensor, targets_N: Tensor) -> Tensor:
        weight = self.get_buffer(f"weight_{position}")
        summed = functional.cross_entropy(
            logits_NV, targets_N, weight=weight, ignore_index=-1, reduction="sum"
        )
        known = targets_N >= 0
        return summed / (weight[targets_N.clamp_min(0)] * known).sum().clamp_min(1e-6)


class CosineIdentity(nn.Module):
    """Identity logits (N, K) that are `scale` times cosines, the own person's less `margin`.

    The margin asks for more than the nearest other person of the training set: strangers come
    closer than those. Source: Wang et al., "CosFace", 2018.
    """

    def __init__(self, dimension: int, people: int, scale: float, margin: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(people, dimension))
        nn.init.normal_(self.weight)
        self.scale, self.margin = scale, margin

    def forward(self, embeddings_ND: Tensor, people_N: Tensor) -> Tensor:
        cosines_NK = functional.normalize(embeddings_ND) @ functional.normalize(self.weight).T
        own_NK = functional.one_hot(people_N, len(self.weight))
        logits_NK: Tensor = self.scale * (cosines_NK - self.margin * own_NK)
        return logits_NK
