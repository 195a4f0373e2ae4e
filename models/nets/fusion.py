"""The default network's last layer, fitted when training is over: colours and clothes, as the
attribute scores say them, count in the distance beside what the embedding has learned."""

# N images, A=56 scores, D=512 embedding numbers, J = D + A joined numbers

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.nets.joint_net import JointNet
from models.outputs import FloatRows, Outputs

_FLOOR = 1e-6  # of the largest variance: directions that hardly occur must not be blown up


class Fusion(NamedTuple):
    """A linear layer over an embedding and the roots of its image's scores."""

    weight_DJ: FloatRows
    bias_D: FloatRows


def fit_fusion(found: Outputs, whitening: float, score_weight: float) -> Fusion:
    """From what a network says of the images it was trained on; no label is used.

    Each principal direction of the embeddings is divided by its variance to the power `whitening`:
    0 leaves them, 0.5 makes all directions count alike. The result, of mean square length 1, and
    `score_weight` times the roots of the scores are turned onto their D principal directions. The
    distance of the roots is that of two distributions. Sources: Jegou and Chum, "Negative evidences
    and co-occurences in image retrieval", 2012; Hellinger's distance.
    """
    embeddings_ND = found.embeddings_ND.astype(np.float64)
    mean_D = embeddings_ND.mean(axis=0)
    centred_ND = embeddings_ND - mean_D
    variances_D, turn_DD = np.linalg.eigh(centred_ND.T @ centred_ND / len(centred_ND))
    floor = _FLOOR * max(float(variances_D[-1]), _FLOOR)
    whiten_DD = (turn_DD * np.maximum(variances_D, floor) ** -whitening) @ turn_DD.T
    whitened_ND = centred_ND @ whiten_DD
    scale = np.sqrt(max(float((whitened_ND**2).sum(axis=1).mean()), _FLOOR))
    roots_NA = score_weight * np.sqrt(found.scores_NA.astype(np.float64))
    joined_NJ = np.hstack([whitened_ND / scale, roots_NA - roots_NA.mean(axis=0)])
    turn_JJ = np.linalg.eigh(joined_NJ.T @ joined_NJ / len(joined_NJ))[1]
    turn_JD = turn_JJ[:, ::-1][:, : len(mean_D)]
    upper_DD, lower_AD = turn_JD[: len(mean_D)], turn_JD[len(mean_D) :]
    of_embedding_DD = whiten_DD / scale @ upper_DD
    weight_JD = np.vstack([of_embedding_DD, score_weight * lower_AD])
    bias_D = -mean_D @ of_embedding_DD
    return Fusion(weight_JD.T.astype(np.float32), bias_D.astype(np.float32))


def fused(net: JointNet, fusion: Fusion) -> JointNet:
    """A network with the same weights and the fitted layer, in evaluation mode, on the CPU."""
    whole = JointNet(parts=len(net.bands), fused=True)
    own: dict[str, Tensor] = {name: tensor.cpu() for name, tensor in net.state_dict().items()}
    own["fusion.weight"] = torch.from_numpy(fusion.weight_DJ)
    own["fusion.bias"] = torch.from_numpy(fusion.bias_D)
    whole.load_state_dict(own)
    return whole.eval()
