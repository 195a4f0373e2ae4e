"""Every network by its architecture name, built, saved and loaded in one place."""

from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.checkpoint import BadCheckpoint, Header, read_header, to_metadata
from models.nets.folding import fold
from models.nets.joint_net import FUSED, PLAIN, WITH_PARTS, JointNet
from models.nets.mirror import FlipAveraged
from models.nets.seed_nets import ATTRIBUTES_ONLY, TRUNKS, AttributeNet, SeedNet

ARCHITECTURES: tuple[str, ...] = (
    FUSED,
    WITH_PARTS,
    PLAIN,
    *(f"seed-{trunk}" for trunk in TRUNKS),
)


def build(architecture: str) -> nn.Module:
    """An untrained network that maps images (N, 3, H, W) to scores (N, 56), embeddings (N, 512).

    Raises BadCheckpoint for a name that is not one of `ARCHITECTURES`.
    """
    if architecture in (FUSED, WITH_PARTS, PLAIN):
        return JointNet(parts=0 if architecture == PLAIN else 2, fused=architecture == FUSED)
    if architecture in ARCHITECTURES:
        return SeedNet(architecture.removeprefix("seed-"))
    if architecture.endswith(ATTRIBUTES_ONLY):
        raise BadCheckpoint(
            f"{architecture} has attributes and no embedding yet; go on with "
            "`reid train siamese --attributes FILE`, and use what that writes"
        )
    raise BadCheckpoint(
        f"unknown architecture {architecture!r}; known are {', '.join(ARCHITECTURES)}"
    )


def save(path: Path, net: nn.Module, header: Header, *, half: bool = False) -> None:
    """Writes a checkpoint beside `path`, then moves it there; `half` stores 16-bit numbers.

    Raises BadCheckpoint for weights that are not finite, or too large for 16 bits.
    """
    state = {
        name: (t.half() if half and t.is_floating_point() else t).contiguous().cpu()
        for name, t in net.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    _check_finite(path, state)
    partial = path.with_name(path.name + ".partial")
    save_file(state, partial, metadata=to_metadata(header))
    partial.replace(path)


def load(path: Path) -> tuple[nn.Module, Header]:
    """The network in evaluation mode with float32 weights, and its header.

    Raises BadCheckpoint as `read_header` does, and where the tensors are not the architecture's or
    not finite.
    """
    header = read_header(path)
    net = build(header.architecture)
    _load_weights(path, header.architecture, net)
    return net.eval(), header


def load_for_inference(path: Path) -> tuple[nn.Module, Header]:
    """Load for inference: faster, and with the mirror image where the header asks for it.

    Raises BadCheckpoint."""
    net, header = load(path)
    net = fold(net)
    if header.flip_average:
        net = FlipAveraged(net, normalised=header.normalised).eval()
    return net, header


def load_attributes(path: Path) -> tuple[AttributeNet, Header]:
    """The attribute network alone, as `train attributes` wrote it.

    Raises BadCheckpoint as `load` does, and for any other checkpoint.
    """
    header = read_header(path)
    trunk = header.architecture.removeprefix("seed-").removesuffix(ATTRIBUTES_ONLY)
    if header.architecture != f"seed-{trunk}{ATTRIBUTES_ONLY}" or trunk not in TRUNKS:
        raise BadCheckpoint(
            f"{path} holds {header.architecture}; expected what `reid train attributes` wrote"
        )
    net = AttributeNet(trunk)
    _load_weights(path, header.architecture, net)
    return net.eval(), header


def _load_weights(path: Path, architecture: str, net: nn.Module) -> None:
    try:
        state = load_file(path)
    except Exception as error:
        raise BadCheckpoint(f"{path} cannot be read: {error}") from error
    _check_tensors(path, architecture, net.state_dict(), state)
    _check_finite(path, state)
    net.load_state_dict({name: t.float() for name, t in state.items()}, strict=False)


def _check_tensors(
    path: Path, architecture: str, own: dict[str, Tensor], stored: dict[str, Tensor]
) -> None:
    expected = {n: t.shape for n, t in own.items() if not n.endswith("num_batches_tracked")}
    found = {name: t.shape for name, t in stored.items()}
    if found == expected:
        return
    differing = sorted(n for n in expected | found if expected.get(n) != found.get(n))
    raise BadCheckpoint(
        f"{path} does not hold the weights of {architecture}: {len(differing)} tensors differ, "
        f"the first is {differing[0]}"
    )


def _check_finite(path: Path, state: dict[str, Tensor]) -> None:
    broken = sorted(name for name, tensor in state.items() if not tensor.isfinite().all())
    if broken:
        raise BadCheckpoint(
            f"the weights for {path} are not all finite numbers, the first are {broken[0]}; "
            "go back to an earlier checkpoint"
        )


def parameter_count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())
