"""People whose distances and hats a calibration finds, stored without any picture."""

# N images, A=56 scores, D=512 embedding numbers

import csv
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Engine, text

from evaluation.calibrate import Calibrated, CalibrationRequest
from evaluation.calibrate import calibrate as run_calibration
from evaluation.calibrate_people import DistanceReport
from gallery import model_rows as registry
from gallery.model_rows import ModelRow
from images.preprocessing import Preprocessing
from metrics.calibration import MIN_PEOPLE
from models.checkpoint import Header
from tests.fakes import SIZE, Stored, collection, store
from vocabulary import COLUMNS, LABEL_OF, NUM_VALUES

PEOPLE = MIN_PEOPLE + 5
TRAINED = (900, 901, 902)
RARE = 12  # people with a hat
FloatRows = npt.NDArray[np.float32]


def person(pid: int, seed: int) -> FloatRows:
    """An embedding of length 1 near its person's place."""
    place = np.random.default_rng(pid).normal(size=512)
    found = place + np.random.default_rng(10_000 + seed).normal(size=512) * 0.9
    return np.asarray(found / np.linalg.norm(found), np.float32)


def scores(hat: float) -> list[float]:
    found = np.zeros(56)
    for name in COLUMNS:
        start = LABEL_OF[f"{name}-1"] - 1
        found[start : start + NUM_VALUES[name]] = [0.9, *[0.1] * (NUM_VALUES[name] - 1)]
    start = LABEL_OF["hat-1"] - 1
    found[start : start + 2] = [1 - hat, hat]
    return found.tolist()


def images(pids: list[int], *, cameras: tuple[int | None, ...] = (1, 2, 1, 2)) -> list[Stored]:
    """Four images a person, on two cameras; the first people's hats score higher, but low."""
    rng = np.random.default_rng(4)
    found = []
    for pid in pids:
        for n, camid in enumerate(cameras):
            hat = (0.4 if pid <= RARE else 0.1) + float(rng.normal()) * 0.02
            path = f"{pid:04}_c{camid}_{n}.jpg"
            found.append(Stored(path, person(pid, pid * 10 + n), scores(hat), pid, camid))
    return found


def strangers(count: int) -> list[Stored]:
    return [Stored(f"s{n}.jpg", person(5_000 + n, n), scores(0.35)) for n in range(count)]


def trained_model(engine: Engine) -> ModelRow:
    """The active model, trained on three people of the space `market`."""
    header = Header(
        architecture="fake",
        preprocessing=Preprocessing(SIZE[1], SIZE[0]),
        max_distance=0.5,
        trained_pids=TRAINED,
        identity_space="market",
    )
    with engine.begin() as connection:
        return registry.register(connection, "fake", "ab" * 32, header.to_json())


def known_people(engine: Engine, model: ModelRow) -> list[Stored]:
    """The collection `people`."""
    items = images(list(range(1, PEOPLE + 1)))
    with engine.begin() as connection:
        store(connection, model, collection(engine, "people", "market"), items)
    return items


def written_annotations(tmp_path: Path) -> Path:
    """The truth of everybody of `people`, and of one who is not there."""
    path = tmp_path / "truth.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *COLUMNS])
        for pid in (*range(1, PEOPLE + 1), 77_777):
            writer.writerow([pid, *(2 if c == "hat" and pid <= RARE else 1 for c in COLUMNS)])
    return path


def put(engine: Engine, model: ModelRow, name: str, items: list[Stored], space: str) -> None:
    with engine.begin() as connection:
        store(connection, model, collection(engine, name, space), items)


def calibrate(engine: Engine, name: str = "people", **options: Any) -> Calibrated:
    return run_calibration(engine, CalibrationRequest(name, **options))


def report(engine: Engine, name: str = "people", **options: Any) -> DistanceReport:
    found = calibrate(engine, name, **options).report
    assert isinstance(found, DistanceReport)
    return found


def now(engine: Engine, name: str = "fake") -> ModelRow:
    with engine.connect() as connection:
        return registry.model_named(connection, name)


def labels(engine: Engine, model: str = "fake") -> dict[str, list[int]]:
    stmt = text(
        "SELECT i.path, f.labels FROM feature f JOIN image i ON i.id = f.image_id"
        " JOIN model m ON m.id = f.model_id WHERE m.name = :model"
    )
    with engine.connect() as connection:
        return {row[0]: row[1] for row in connection.execute(stmt, {"model": model})}


def revisions(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return dict(connection.execute(text("SELECT name, revision FROM collection")).all())
