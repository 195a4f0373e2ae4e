"""Whether a checkpoint can be used by every engine that is here; what torch says is kept."""

from dataclasses import dataclass
from pathlib import Path

from inference import reference
from inference.engines import load_network, make_reference, need_torch, torch_is_here
from inference.openvino_engine import TOLERANCE, OpenVinoNetwork
from inference.ready import NoReadyForm, has_ready_form
from models.checkpoint import content_hash, read_header


@dataclass(frozen=True)
class Verified:
    """A comparison of an engine with torch, and the file that holds torch's answers."""

    file: Path
    engine: str
    found: reference.Difference
    allowed: reference.Difference

    @property
    def agrees(self) -> bool:
        return self.found.within(self.allowed)


def admit(checkpoint: Path) -> reference.Reference | None:
    """Torch's answers for a checkpoint that is to be registered; None where only torch runs it.

    Without torch they must lie beside it, and the runtime must give them. Raises BadCheckpoint,
    TorchMissing, NotCompared, OtherNumbers, RuntimeRefused.
    """
    header = read_header(checkpoint)
    if not torch_is_here():
        load_network(checkpoint, "cpu")
        kept = reference.path_beside(checkpoint)
        return reference.read(kept, content_hash(checkpoint))
    made = make_reference(checkpoint, header)
    return made if has_ready_form(header.architecture) else None


def verify(checkpoint: Path) -> Verified:
    """Compares the runtime with torch, and writes torch's answers beside the checkpoint.

    Raises BadCheckpoint, TorchMissing, NoReadyForm, RuntimeRefused.
    """
    header = read_header(checkpoint)
    if not has_ready_form(header.architecture):
        raise NoReadyForm(f"only torch runs {header.architecture}: there is nothing to compare")
    need_torch("comparing with torch")
    made = make_reference(checkpoint, header)
    network = OpenVinoNetwork(checkpoint, header)
    found = reference.difference(made, network(reference.patterns(header.preprocessing)))
    path = reference.path_beside(checkpoint)
    reference.write(path, made)
    return Verified(path, network.name, found, TOLERANCE[network.precision])
