"""Ray Data as the engine: the rows of the built-in one, whatever is killed. One Ray for all tests.

Skips where the extra `cluster` is not installed.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, text

from gallery.model_rows import ModelRow
from gallery.models import chosen
from ingest.ray.cluster import cluster
from ingest.ray.engine import work
from tests import ray_networks
from tests.fakes import (
    FakeNetwork,
    ingest,
    names,
    picture,
    register,
    register_fake_model,
    write_pictures,
)
from tests.ray_networks import PLAN, EndsOn, EndsOnce, job
from tests.rows import column, failures, states, wait_until_noticed

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [
    # found, not imported: Ray reads its settings when it is
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra `cluster`"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # Ray sets its own old settings
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def ray(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Ray of two CPUs."""
    from sqlalchemy.engine import make_url

    home = tmp_path_factory.mktemp("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)  # from where its processes import tests
        with cluster(None, home, make_url(server_url)) as started:
            yield started


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty pictures, two of them twice, and two files that are no crops."""
    folder = write_pictures(tmp_path / "people", names(20))
    for number, name in enumerate(names(2)):
        (folder / f"0900_c1_{number:09}.png").write_bytes((folder / name).read_bytes())
    (folder / "0901_c1_000000001.jpg").write_bytes(b"no image")
    picture(99, (16, 16)).save(folder / "0902_c1_000000001.png")
    return folder


def rows(engine: Engine, name: str) -> list[Any]:
    """What is stored of a collection's images, by path, the numbers as arrays."""
    with engine.connect() as connection:
        found = connection.execute(
            text(
                "SELECT i.path, i.content_hash, i.width, i.height, h.jpeg, f.camid, f.labels,"
                " f.quality, f.scores, f.embedding::real[] FROM image i"
                " JOIN collection c ON c.id = i.collection_id JOIN feature f ON f.image_id = i.id"
                " JOIN thumbnail h ON h.image_id = i.id WHERE c.name = :name ORDER BY i.path"
            ),
            {"name": name},
        )
        return [tuple(row) for row in found]


def assert_same_rows(found: list[Any], expected: list[Any]) -> None:
    assert [row[:7] for row in found] == [row[:7] for row in expected]
    for position in (7, 8, 9):
        ours, theirs = (np.array([row[position] for row in part]) for part in (found, expected))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("ray")
def test_the_rows_are_those_of_the_built_in_engine(
    engine: Engine, database_url: str, folder: Path, model: ModelRow
) -> None:
    ingest(engine, folder, "local", model)
    expected = failures(engine)
    row, _ = register(engine, folder, "ray", model, overwrite=True)
    progress = work(engine, job(database_url, model, row.id), PLAN, FakeNetwork)
    assert (progress.stored, progress.known, progress.failed) == (22, 0, 2)
    assert_same_rows(rows(engine, "ray"), rows(engine, "local"))
    assert failures(engine) == expected
    assert len(expected) == 2
    assert states(engine) == {"done": 44, "failed": 4}
    _, registered = register(engine, folder, "ray", model)
    assert (registered.known, registered.pending) == (22, 2)


@pytest.mark.usefixtures("ray")
def test_a_model_whose_process_is_killed(
    engine: Engine,
    database_url: str,
    folder: Path,
    model: ModelRow,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Ray starts another, and says nothing where data belongs."""
    done = tmp_path / "killed"
    row, _ = register(engine, folder, "ray", model)
    progress = work(engine, job(database_url, model, row.id), PLAN, lambda: EndsOnce(done))
    assert done.exists()
    assert capfd.readouterr() == ("", "")
    assert (progress.stored, progress.failed) == (22, 2)
    ingest(engine, folder, "local", model, overwrite=True)
    assert_same_rows(rows(engine, "ray"), rows(engine, "local"))


def test_a_run_that_is_killed_and_its_next_try(
    ray: Any, engine: Engine, database_url: str, folder: Path, model: ModelRow
) -> None:
    row, _ = register(engine, folder, "ray", model)
    address = ray.get_runtime_context().gcs_address
    command = [sys.executable, "-m", ray_networks.__name__]
    ended = subprocess.run(
        [*command, address, database_url, str(model.id), str(row.id)],
        cwd=ROOT,
        timeout=200,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    stored = states(engine)["done"]
    assert 0 < stored < 22
    wait_until_noticed(engine)
    progress = work(engine, job(database_url, model, row.id), PLAN, FakeNetwork)
    assert progress.stored + stored == 22
    ingest(engine, folder, "local", model, overwrite=True)
    assert_same_rows(rows(engine, "ray"), rows(engine, "local"))


@pytest.mark.long
@pytest.mark.usefixtures("ray")
def test_a_batch_on_which_the_model_dies_is_given_up(
    engine: Engine, database_url: str, folder: Path, model: ModelRow
) -> None:
    """Its files have failed, with the reason; all others are stored."""
    row, _ = register(engine, folder, "ray", model)
    with engine.begin() as connection:  # it has had all attempts but two
        connection.execute(text("UPDATE task SET attempts = 3 WHERE image_id <= 4"))
    poison = FakeNetwork().pixels_of(picture(2)).tobytes()  # the third file alone
    progress = work(engine, job(database_url, model, row.id), PLAN, lambda: EndsOn(poison))
    assert (progress.stored, progress.failed) == (18, 6)
    reasons = column(engine, "SELECT reason FROM task WHERE image_id <= 4")
    assert reasons == ["the worker ended 5 times while it worked on a batch with this file"] * 4


def test_the_command_on_a_ray_that_runs(
    ray: Any, engine: Engine, database_url: str, tmp_path: Path
) -> None:
    """The shipped model, from the command line; nothing but the answer on standard output."""
    people = write_pictures(tmp_path / "people", names(5))
    (people / "0900_c1_000000001.jpg").write_bytes(b"no image")
    environment = {**os.environ, "REID_DATABASE_URL": database_url, "REID_HOME": str(tmp_path)}
    command = [sys.executable, "cli.py", "ingest", str(people), "--format", "json", "--collection"]
    address = ray.get_runtime_context().gcs_address
    done = subprocess.run(
        [*command, "ray", "--engine", "ray", "--address", address],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    said = json.loads(done.stdout)
    assert (said["stored"], said["failed"], said["pending"]) == (5, 1, 0)
    from ingest.options import Options
    from ingest.run import ingest as run

    run(engine, people, "local", Options(overwrite=True, device="cpu"))
    assert_same_rows(rows(engine, "ray"), rows(engine, "local"))
    assert chosen(engine, None).name == "default"
