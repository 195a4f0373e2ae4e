"""Ray Data as the engine of an ingest: tasks read and decode on the CPUs, actors run the model, and
this process stores, through the same steps, batch store and manifest as the built-in worker.

The data set that Ray works through holds no images but tickets. Who takes one claims a batch in
the name of this process, whose advisory lock is the proof that it lives: work is leased when it is
begun, not when it is planned, and what was lost with its machine is free for the next round, since
each round has a lock of its own.
"""

import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from db.connect import DatabaseAddress, make_engine
from db.error_sentences import sentence_for
from db.faults import reached
from errors import ReidError
from gallery import manifest
from gallery.attempts import count_attempt, most_attempts
from gallery.store import Batch
from images.decoder_pool import Decoders
from images.preprocessing import Preprocessing
from ingest import pipeline
from ingest.heartbeat import Heartbeat
from ingest.pipeline import BatchNetwork, Recent
from ingest.ray.cluster import ClusterPlan
from ingest.reader import decode_guarded, read
from ingest.worker import Progress

_PAUSE_S = 2.0  # while others hold all that is left
_WAITING = 4  # decoded batches for each model
_THUMBNAIL_BYTES = 16_384

Rows = dict[str, Any]  # what Ray hands from step to step


class RayFailed(ReidError):
    """Ray gave up; what was stored stays stored."""

    http_status = 503


@dataclass(frozen=True)
class Job:
    """What is to be done. `url` is the database's, as every machine of the cluster reaches it."""

    url: str
    model_id: int
    collection_id: int
    batch_size: int
    preprocessing: Preprocessing

    @property
    def batch_bytes(self) -> int:
        """What a decoded batch takes, about."""
        pixels = self.preprocessing.height * self.preprocessing.width * 3
        return self.batch_size * (pixels + _THUMBNAIL_BYTES)


@dataclass(frozen=True)
class Shipped:
    """A checkpoint that travels: the other machines do not have this one's files. `reference` is
    what torch says of it, where that is known; `engine` is this command's choice."""

    content: bytes
    reference: bytes | None
    device: str
    engine: str

    def __call__(self) -> BatchNetwork:
        from inference.engines import load_network
        from inference.reference import path_beside

        with TemporaryDirectory() as folder:
            path = Path(folder, "model.safetensors")
            path.write_bytes(self.content)
            if self.reference is not None:
                path_beside(path).write_bytes(self.reference)
            return load_network(path, self.device, self.engine)


def work(
    engine: Engine,
    job: Job,
    plan: ClusterPlan,
    load: Callable[[], BatchNetwork],
    on_batch: Callable[[Progress], None] | None = None,
) -> Progress:
    """Works through a collection until nothing is open. Raises RayFailed."""
    import ray

    progress = Progress()
    shipped = ray.put(load)
    while _round(engine, job, plan, shipped, progress, on_batch or (lambda _: None)):
        pass
    return progress


def _round(
    engine: Engine,
    job: Job,
    plan: ClusterPlan,
    load: Any,
    progress: Progress,
    on_batch: Callable[[Progress], None],
) -> bool:
    """One pass over what is open; False when nothing is."""
    with engine.connect() as connection:
        connection.detach()  # the pool would keep the lock that says that we are alive
        worker_id = manifest.become_worker(connection)
        with connection.begin():
            progress.failed += manifest.give_up_exhausted(
                connection, job.model_id, job.collection_id
            )
            left = manifest.open_work(connection, job.model_id, job.collection_id)
        if not left:
            return False
        if not _is_free(connection, worker_id, job):
            time.sleep(_PAUSE_S)
            return True
        try:
            with Heartbeat(engine, worker_id):
                for batch in _batches(job, plan, load, worker_id, left):
                    settled = pipeline.store(connection, worker_id, job.model_id, batch)
                    progress.add(batch, settled)
                    on_batch(progress)
        except RayFailed:
            # what has ended the model again and again is given up in the next round
            if most_attempts(connection, worker_id) < manifest.MAX_ATTEMPTS:
                _release(connection, worker_id)
                raise
        except BaseException:
            _release(connection, worker_id)
            raise
        return True


def _is_free(connection: Connection, worker_id: int, job: Job) -> bool:
    """Whether anything is left that nobody living works on: a round costs seconds."""
    claims = manifest.claim(connection, worker_id, job.model_id, 1, job.collection_id)
    connection.rollback()
    return bool(claims)


def _release(connection: Connection, worker_id: int) -> None:
    with suppress(DBAPIError):  # without a connection nothing can be given back, nor need it be
        connection.rollback()
        manifest.release(connection, worker_id)
        connection.commit()


def _batches(job: Job, plan: ClusterPlan, load: Any, worker_id: int, left: int) -> Iterator[Batch]:
    """What the cluster gives to be stored, in whatever order. Raises RayFailed."""
    from ray.data import ActorPoolStrategy, TaskPoolStrategy, range
    from ray.exceptions import RayError

    tickets = -(-left // job.batch_size)
    try:
        read = range(tickets, override_num_blocks=tickets).map_batches(
            _read_one,
            batch_size=1,
            fn_kwargs={"job": job, "worker_id": worker_id},
            compute=TaskPoolStrategy(size=plan.readers),
            num_cpus=1,
            # asked for by itself, it also keeps Ray from reading in the model's own process
            memory=job.batch_bytes,
        )
        inferred = read.map_batches(
            _Inference,
            batch_size=1,
            fn_constructor_args=(job, worker_id, load),
            compute=ActorPoolStrategy(size=plan.models, max_tasks_in_flight_per_actor=2),
            num_cpus=1,
            num_gpus=plan.gpus_each,
        )
        _limit(inferred.context, job, plan)
        for row in inferred.iter_rows():
            yield pickle.loads(row["batch"])
    except RayError as error:
        raise RayFailed(_sentence(error)) from error


def _limit(context: Any, job: Job, plan: ClusterPlan) -> None:
    """Keeps Ray from reading far ahead of the model: what is leased is lost at a kill."""
    from ray.data import ExecutionResources

    context.execution_options.resource_limits = ExecutionResources.for_limits(
        object_store_memory=job.batch_bytes * (plan.readers + _WAITING * plan.models)
    )
    context.raise_original_map_exception = True


def _read_one(_: Rows, job: Job, worker_id: int) -> Iterator[Rows]:
    """A ticket becomes a batch, claimed, read and decoded; nothing when nothing is left."""
    with _saying_why(), _database(job.url).connect() as connection:
        with connection.begin():
            claims = manifest.claim(
                connection, worker_id, job.model_id, job.batch_size, job.collection_id
            )
        if not claims:
            return
        reached("after_claim")
        prepared = pipeline.prepare(
            connection,
            job.model_id,
            claims,
            read=lambda claims: map(read, claims),
            decode=lambda files: decode_guarded(files, job.preprocessing, _decoders()),
            # batches are stored in whatever order: a copy must not wait for a twin of another
            recent=Recent(),
        )
        yield {"batch": [pickle.dumps(prepared)]}


class _Inference:
    """The model, in a process of its own for as long as there is work."""

    def __init__(self, job: Job, worker_id: int, load: Any) -> None:
        import ray

        if ray.get_runtime_context().was_current_actor_reconstructed:
            _charge(job.url, worker_id)
        self._network = ray.get(load)()

    def __call__(self, rows: Rows) -> Rows:
        (packed,) = rows["batch"]
        batch = pipeline.infer(self._network, pickle.loads(packed))
        return {"batch": [pickle.dumps(batch)]}


def _charge(url: str, worker_id: int) -> None:
    """Counts the end of a model's process as an attempt: Ray would give it the same batch for ever.

    Raises RayFailed when that was the last one.
    """
    with _saying_why(), _database(url).begin() as connection:
        # Ray begins anew when this raises: what had its last attempt must not cost others theirs
        if most_attempts(connection, worker_id) < manifest.MAX_ATTEMPTS:
            count_attempt(connection, worker_id)
        most = most_attempts(connection, worker_id)
    if most >= manifest.MAX_ATTEMPTS:
        raise RayFailed("the process with the model ended again and again on the same images")


@cache
def _database(url: str) -> Engine:
    """One for each process that reads."""
    return make_engine(DatabaseAddress(Path(), url))


@cache
def _decoders() -> Decoders:
    return Decoders()


@contextmanager
def _saying_why() -> Iterator[None]:
    """What the database says, as a sentence that travels. Raises RayFailed."""
    try:
        yield
    except DBAPIError as error:
        raise RayFailed(sentence_for(error) or str(error)) from None


def _sentence(error: BaseException) -> str:
    """What made Ray give up, as short as it can be said."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ReidError):
            return str(cause)
        cause = cause.__cause__
    said = str(error).strip().splitlines() or [type(error).__name__]
    if "ModuleNotFoundError" in said[-1]:
        return (
            f"a machine of the cluster lacks a package ({said[-1][:200]}); install this program "
            "and its extra `cluster` on each"
        )
    return f"Ray gave up: {said[-1][:300]}; run the same command again to go on"
