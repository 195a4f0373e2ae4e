"""Registering models and finding their checkpoint files on this machine."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import Connection, Engine

from db.audit import record
from db.connect import default_home
from errors import ReidError, UsageError
from gallery import model_rows as registry
from gallery.model_rows import ModelRow
from inference.admission import admit
from inference.reference import path_beside
from inference.reference import write as write_reference
from models.checkpoint import content_hash, read_header
from models.outputs import Network
from models.shipped import _SHIPPED, shipped_checkpoint


class CheckpointNotHere(ReidError):
    """A registered model's file is not on this machine."""

    http_status = 503


def shipped_as(model: ModelRow) -> Path | None:
    """The file of a model that comes with the program, with its card beside it; None for others."""
    files = sorted(_SHIPPED.glob("*.safetensors"))
    return next((path for path in files if content_hash(path) == model.content_hash), None)


def is_former_default(model: ModelRow) -> bool:
    """Whether the model is one that an earlier version shipped as its default."""
    return shipped_as(model) not in (None, shipped_checkpoint())


def _candidates(model_hash: str) -> Iterator[Path]:
    yield default_home() / "models" / f"{model_hash}.safetensors"
    yield from sorted(_SHIPPED.glob("*.safetensors"))


def checkpoint_of(model: ModelRow) -> Path:
    """The file with exactly the registered content. Raises CheckpointNotHere."""
    for path in _candidates(model.content_hash):
        if path.exists() and content_hash(path) == model.content_hash:
            return path
    raise CheckpointNotHere(
        f"the checkpoint of model {model.name!r} ({model.content_hash[:12]}) is not on this "
        "machine; copy it here and run `reid model add FILE`"
    )


def add(engine: Engine, path: Path, name: str | None = None) -> ModelRow:
    """Registers a checkpoint and keeps a copy of it under its hash; mends a damaged copy.

    Raises BadCheckpoint where it cannot be loaded, UsageError where it has another name already;
    without torch NotCompared, where no reference lies beside it.
    """
    with engine.begin() as connection:
        model = register_checkpoint(connection, path, name or path.stem)
        if name and model.name != name:
            raise UsageError(f"the checkpoint is registered as {model.name!r}; leave out --name")
        record(connection, "model add", {"model": model.name, "hash": model.content_hash})
    return model


def register_checkpoint(connection: Connection, path: Path, name: str) -> ModelRow:
    """Add a checkpoint to the registry and keep a copy of it under its hash; or give the model with
    this content. The caller writes the audit row. Raises BadCheckpoint, NotCompared."""
    header = read_header(path)
    reference = admit(path)
    digest = content_hash(path)
    model = registry.register(connection, name, digest, header.to_json())
    kept = _keep(path, digest)
    if reference is not None:
        write_reference(path_beside(kept), reference)
    return model


def _keep(path: Path, digest: str) -> Path:
    kept = default_home() / "models" / f"{digest}.safetensors"
    if kept.exists() and content_hash(kept) == digest:
        return kept
    kept.parent.parent.mkdir(parents=True, exist_ok=True)
    kept.parent.mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(path, kept.with_suffix(".partial"))
    kept.with_suffix(".partial").replace(kept)
    return kept


def activate(engine: Engine, name: str) -> ModelRow:
    """Makes a model the one that search uses."""
    with engine.begin() as connection:
        model = registry.activate(connection, name)
        record(connection, "model activate", {"model": name})
    return model


def export_onnx(engine: Engine, name: str, path: Path) -> tuple[str, ...]:
    """Writes the model as ONNX and gives the names of its outputs.

    Raises UnknownModel, CheckpointNotHere, OnnxMissing, UsageError for a folder that is not there.
    """
    from inference.export import export_onnx as run

    if not path.parent.is_dir():
        raise UsageError(f"the folder of {path} is not there; make it first")
    return run(checkpoint_of(chosen(engine, name)), path)


def chosen(engine: Engine, name: str | None) -> ModelRow:
    """The model of that name, else the active one; the shipped one is registered where none is."""
    with engine.begin() as connection:
        return chosen_on(connection, name)


def chosen_on(connection: Connection, name: str | None) -> ModelRow:
    """The same in the caller's transaction."""
    active = registry.active_model(connection) or _register_shipped(connection)
    return registry.model_named(connection, name) if name else active


def _register_shipped(connection: Connection) -> ModelRow:
    path = shipped_checkpoint()
    header = read_header(path)
    model = registry.register(connection, "default", content_hash(path), header.to_json())
    record(connection, "model add", {"model": model.name, "hash": model.content_hash})
    return model


def load_network(model: ModelRow, device: str | None) -> Network:
    """The model's network, ready on a device. This is where OpenVINO or torch is imported."""
    from inference.engines import load_network as load

    return load(checkpoint_of(model), device)


def calibrated(engine: Engine) -> float | None:
    """The active model's distance limit, None where it has none."""
    return chosen(engine, None).max_distance


Load = Callable[[ModelRow, str | None], Network]
