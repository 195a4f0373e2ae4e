"""Networks for Ray's processes, which import this module by its name; an ingest that is killed."""

import os
import signal
import sys
from pathlib import Path

from db.connect import DatabaseAddress, make_engine
from gallery.model_rows import ModelRow
from images.preprocessing import Pixels, Preprocessing
from ingest.ray.cluster import ClusterPlan, cluster
from ingest.ray.engine import Job, work
from ingest.worker import Progress
from models.outputs import Outputs
from tests.fakes import SIZE, FakeNetwork

PREPROCESSING = Preprocessing(SIZE[1], SIZE[0])
PLAN = ClusterPlan(readers=1, models=1, device="cpu")


class EndsOnce(FakeNetwork):
    """Kills its process at the second batch, unless that was done before."""

    def __init__(self, done: Path) -> None:
        super().__init__()
        self._done = done

    def __call__(self, pixels_NHWC: Pixels) -> Outputs:
        found = super().__call__(pixels_NHWC)
        if len(self.seen) == 2 and not self._done.exists():
            self._done.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return found


class EndsOn(FakeNetwork):
    """Kills its process whenever it sees these pixels."""

    def __init__(self, poison: bytes) -> None:
        super().__init__()
        self._poison = poison

    def __call__(self, pixels_NHWC: Pixels) -> Outputs:
        if any(pixels.tobytes() == self._poison for pixels in pixels_NHWC):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(pixels_NHWC)


def job(url: str, model: ModelRow, collection_id: int, batch_size: int = 4) -> Job:
    return Job(url, model.id, collection_id, batch_size, PREPROCESSING)


def die_at_second_batch(progress: Progress) -> None:
    if progress.settled > 4:
        os.kill(os.getpid(), signal.SIGKILL)


def main(address: str, url: str, model_id: int, collection_id: int) -> None:
    """An ingest on a Ray that runs already; killed when it has stored two batches."""
    engine = make_engine(DatabaseAddress(Path(), url))
    with cluster(address, Path(), engine.url):
        the_job = Job(url, model_id, collection_id, 4, PREPROCESSING)
        work(engine, the_job, PLAN, FakeNetwork, die_at_second_batch)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
