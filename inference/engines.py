"""Which engine runs a network here: torch on a GPU, OpenVINO on a CPU, torch where that cannot."""

import logging
from importlib.util import find_spec
from pathlib import Path

from errors import ReidError, UsageError
from files import CannotWrite
from inference import reference
from inference.openvino_engine import TOLERANCE, OpenVinoNetwork, RuntimeRefused
from inference.ready import NoReadyForm, has_ready_form
from models.checkpoint import Header, content_hash, read_header
from models.outputs import Network
from settings import Settings

CHOICES = ("auto", "torch", "openvino")
VARIABLE = "REID_ENGINE"
INSTALL_TORCH = "`make install`, or this program with its extra `torch`, brings it"
_DRIVER = Path("/proc/driver/nvidia/version")
_log = logging.getLogger("reid")


class TorchMissing(ReidError):
    """Something needs torch, which the light installation leaves out."""

    http_status = 501


class UnknownEngine(UsageError):
    """There is no engine of that name, or it is not one for the device."""


class NotCompared(ReidError):
    """Nobody has compared the runtime with torch for a checkpoint."""

    http_status = 503


class OtherNumbers(ReidError):
    """The runtime gives other numbers than torch."""

    http_status = 503


def torch_is_here() -> bool:
    """Whether torch is installed; it is not imported."""
    return find_spec("torch") is not None


def need_torch(what: str) -> None:
    """Raises TorchMissing where torch is not installed; `what` begins the sentence."""
    if not torch_is_here():
        raise TorchMissing(f"{what} needs torch, which is not installed; {INSTALL_TORCH}")


def load_network(checkpoint: Path, device: str | None = None, engine: str | None = None) -> Network:
    """A checkpoint's network on a device, by the engine that is asked for: by default the one that
    `REID_ENGINE` names, or else the quickest.

    Where OpenVINO cannot, torch does, and a warning says why. Raises BadCheckpoint, UnknownEngine,
    UnknownDevice; TorchMissing, NotCompared, OtherNumbers or RuntimeRefused where there is no torch
    to fall back on, or OpenVINO was asked for.
    """
    header = read_header(checkpoint)
    asked = engine or asked_engine()
    if chosen_engine(header.architecture, device, asked) == "torch":
        return load_with_torch(checkpoint, device)
    try:
        return _load_openvino(checkpoint, header)
    except (RuntimeRefused, OtherNumbers, NoReadyForm) as error:
        if asked == "openvino" or not torch_is_here():
            raise
        _log.warning("%s; torch runs it instead", error)
        return load_with_torch(checkpoint, device)


def chosen_engine(architecture: str, device: str | None, asked: str | None = None) -> str:
    """`torch` or `openvino`. Raises UnknownEngine, TorchMissing; torch is not imported unless a
    GPU may be there."""
    asked = asked or asked_engine()
    on_cpu = device == "cpu" or (device in (None, "", "auto") and not _has_gpu())
    can = on_cpu and has_ready_form(architecture)
    if asked == "openvino" and not can:
        what = architecture if on_cpu else f"the device {device or 'auto'}"
        raise UnknownEngine(f"openvino is not for {what}; leave out --inference, or choose torch")
    if asked != "torch" and can:
        return "openvino"
    need_torch("--inference torch" if asked == "torch" else f"{architecture} on {device or 'auto'}")
    return "torch"


def asked_engine() -> str:
    """What `REID_ENGINE` says, `auto` where it says nothing. Raises UnknownEngine."""
    asked = Settings.from_environment().engine or "auto"
    if asked not in CHOICES:
        raise UnknownEngine(f"no engine {asked!r} for {VARIABLE}; known are {', '.join(CHOICES)}")
    return asked


def _has_gpu() -> bool:
    if not _DRIVER.exists() or not torch_is_here():
        return False
    from models.extractor import choose_device

    return choose_device("auto").type != "cpu"


def load_with_torch(checkpoint: Path, device: str | None) -> Network:
    """Raises BadCheckpoint, UnknownDevice."""
    from models.extractor import Extractor

    return Extractor(checkpoint, device)


def _load_openvino(checkpoint: Path, header: Header) -> Network:
    network = OpenVinoNetwork(checkpoint, header)
    check(network, _reference(checkpoint, header), checkpoint)
    return network


def check(network: OpenVinoNetwork, expected: reference.Reference, checkpoint: Path) -> None:
    """Raises OtherNumbers where a network does not give what torch has given."""
    found = reference.difference(expected, network(reference.patterns(network.preprocessing)))
    limit = TOLERANCE[network.precision]
    if not found.within(limit):
        raise OtherNumbers(
            f"{network.name} gives other numbers than torch for {checkpoint.name}: embeddings lie "
            f"{found.distance:.3g} apart, at most {limit.distance:g} is expected"
        )


def _reference(checkpoint: Path, header: Header) -> reference.Reference:
    """Torch's answers for a checkpoint: kept beside it, or made now. Raises NotCompared."""
    path = reference.path_beside(checkpoint)
    kept = reference.read(path, content_hash(checkpoint))
    if kept is not None:
        return kept
    if not torch_is_here():
        raise NotCompared(
            f"{checkpoint.name} was never compared with torch, which is not installed here; run "
            f"`reid model verify` on it where torch is, and bring {path.name} along"
        )
    made = make_reference(checkpoint, header)
    try:
        reference.write(path, made)
    except CannotWrite as error:
        _log.warning("%s; until then torch is loaded each time, to compare with", error)
    return made


def make_reference(checkpoint: Path, header: Header) -> reference.Reference:
    """Torch's answers for a checkpoint, on the CPU. This is where torch is imported."""
    network = load_with_torch(checkpoint, "cpu")
    return reference.made_by(network, checkpoint, header.preprocessing)
