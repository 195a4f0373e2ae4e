"""A check of the installation from the bottom up, each line with its advice."""

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from sqlalchemy import text

from db.administration import disposed
from db.connect import HEAD, DatabaseAddress, check_server, make_engine, reach, resolve
from db.libpq_environment import left_out
from db.open import open_database
from db.read_only import is_allowed
from db.session import Session, session_of
from errors import ReidError
from gallery import model_rows as registry
from gallery.collections import image_counts
from gallery.models import is_former_default
from inference.engines import load_network
from models.shipped import shipped_checkpoint


@dataclass(frozen=True)
class Check:
    """One line of `doctor`. `advice` is None where all is well."""

    what: str
    found: str
    advice: str | None = None


def doctor() -> Iterator[Check]:
    """Checks this installation from the bottom up; each line says what to do where it is wrong."""
    yield Check("python", platform.python_version())
    for package in ("openvino", "torch", "torchvision"):
        try:
            # what lies there and cannot be imported is not there
            known = version(package) if package == "openvino" or _is_here(package) else None
            yield _missing(package) if known is None else Check(package, known)
        except PackageNotFoundError:
            yield _missing(package)
    yield _inference()
    yield _device()
    place = resolve()
    yield Check("home", str(place.home), _home_advice(place))
    yield from _database(place)


def _session(session: Session) -> Iterator[Check]:
    if session.read_only is None:
        return
    advice = (
        None
        if is_allowed()
        else (
            "searching works with `reid --read-only`, without an audit row; for all else name a "
            "server that takes writes in REID_DATABASE_URL"
        )
    )
    yield Check("writing", f"not here: {session.read_only}", advice)


def _is_here(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ImportError:
        return False


def _missing(package: str) -> Check:
    if package == "openvino":
        return Check(package, "missing", "run `make install`")
    return Check(package, "not installed: training, GPUs and the report's networks need it")


def _inference() -> Check:
    """Loads the shipped network, as a user's first search does."""
    try:
        return Check("inference", load_network(shipped_checkpoint()).name)
    except ReidError as error:
        return Check("inference", "not usable", str(error))


def _device() -> Check:
    if os.path.exists("/proc/driver/nvidia/version"):  # noqa: PTH110
        return Check("device", "an NVIDIA driver is there; `--device cuda` uses it")
    return Check("device", "cpu")


def _home_advice(place: DatabaseAddress) -> str | None:
    existing = next(p for p in (place.home, *place.home.parents) if p.exists())
    if os.access(existing, os.W_OK):
        return None
    return f"{existing} may not be written; set REID_HOME to a folder of your own"


def _database(place: DatabaseAddress) -> Iterator[Check]:
    kind = "embedded" if place.embedded else "server"
    try:
        with disposed(make_engine(place)) as engine, reach(engine) as connection:
            check_server(connection)
        with disposed(open_database(place)) as engine, reach(engine) as connection:
            session = session_of(connection)
            postgres = connection.scalar(text("SHOW server_version"))
            pgvector = connection.scalar(
                text("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
            )
            images = sum(image_counts(connection).values())
            model = registry.active_model(connection)
    except ReidError as error:
        yield Check(f"database ({kind})", "not usable", str(error))
        return
    yield Check(f"database ({kind})", f"Postgres {postgres}, schema {HEAD}, {images} images")
    yield Check("pgvector", str(pgvector))
    yield from _session(session)
    if variables := left_out():
        yield Check(
            "libpq's variables", f"not used, since they are not ours: {', '.join(variables)}"
        )
    if model is None:
        yield Check("model", "none yet; the shipped one is registered at the first ingest")
        return
    newer = (
        f"; a better default has come since: `reid model add {shipped_checkpoint()} --name NAME`, "
        "ingest again with --model NAME, then `reid model activate NAME`"
    )
    yield Check(
        "model",
        f"{model.name} ({model.architecture}), active{newer if is_former_default(model) else ''}",
    )
