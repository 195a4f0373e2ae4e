"""Working through a collection on Ray: on this machine's cores, or on a cluster's machines."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from db.connect import default_home
from gallery.model_rows import ModelRow
from gallery.models import checkpoint_of
from inference.engines import asked_engine, chosen_engine
from inference.reference import path_beside
from ingest.ray.cluster import cluster, plan
from ingest.ray.engine import Job, Shipped, work
from ingest.worker import Progress
from models.checkpoint import read_header

if TYPE_CHECKING:
    from ingest.options import Options


def work_on_ray(
    engine: Engine,
    model: ModelRow,
    collection_id: int,
    options: "Options",
    on_batch: Callable[[Progress], None] | None,
) -> Progress:
    """Work through a collection with the cluster's readers and models.

    Raises what `ingest.ray.cluster.cluster`, `plan` and `ingest.ray.engine.work` raise.
    """
    path = checkpoint_of(model)
    with cluster(options.address, default_home(), engine.url) as ray:
        has = ray.cluster_resources()
        shares = plan(
            int(has.get("CPU", 0)), int(has.get("GPU", 0)), options.workers, options.device
        )
        job = Job(
            engine.url.render_as_string(hide_password=False),
            model.id,
            collection_id,
            options.batch_size,
            read_header(path).preprocessing,
        )
        progress = work(engine, job, shares, _shipped(path, shares.device), on_batch)
    progress.inference = f"{chosen_engine(model.architecture, shares.device)} on ray"
    return progress


def _shipped(path: Path, device: str) -> Shipped:
    beside = path_beside(path)
    known = beside.read_bytes() if beside.exists() else None
    return Shipped(path.read_bytes(), known, device, asked_engine())
