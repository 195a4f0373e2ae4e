"""What is decided before Ray is asked: shares, reach, folders, and what the command refuses."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL, make_url

import ingest.ray.cluster
from cli import run
from ingest.ray.cluster import (
    ClusterPlan,
    ClusterTooSmall,
    DatabaseOutOfReach,
    NotAnAddress,
    NotRaysDevice,
    check_address,
    check_reach,
    own_folder,
    plan,
)

EMBEDDED = make_url("postgresql://reid@/reid?host=/home/me/socket&port=5432")
SERVER = make_url("postgresql://reid:secret@db.example:5432/reid")


@pytest.mark.parametrize(
    ("cpus", "gpus", "device", "expected"),
    [
        (2, 0, None, ClusterPlan(1, 1, "cpu")),
        (8, 0, "auto", ClusterPlan(2, 6, "cpu")),
        (64, 0, "cpu", ClusterPlan(8, 48, "cpu")),
        (16, 2, None, ClusterPlan(8, 2, "cuda")),
        (4, 2, "cuda", ClusterPlan(2, 2, "cuda")),
        (8, 2, "cpu", ClusterPlan(2, 6, "cpu")),
    ],
)
def test_shares(cpus: int, gpus: int, device: str | None, expected: ClusterPlan) -> None:
    assert plan(cpus, gpus, 8, device) == expected


@pytest.mark.parametrize(("cpus", "gpus"), [(1, 0), (2, 2), (0, 0)])
def test_a_cluster_without_a_core_for_each(cpus: int, gpus: int) -> None:
    with pytest.raises(ClusterTooSmall, match=f"has {cpus} CPUs, expected {max(gpus, 1) + 1} or"):
        plan(cpus, gpus, 8, None)


@pytest.mark.parametrize(("device", "said"), [("cuda:1", "not cuda:1"), ("cuda", "no GPU")])
def test_devices_that_ray_does_not_hand_out(device: str, said: str) -> None:
    with pytest.raises(NotRaysDevice, match=said):
        plan(8, 0, 8, device)


@pytest.mark.parametrize(
    "database", [EMBEDDED, SERVER.set(host="localhost"), SERVER.set(host="::1")]
)
def test_other_machines_cannot_reach_what_is_of_this_one(
    database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    check_reach(["here"], database)
    with pytest.raises(DatabaseOutOfReach, match=r"other machines \(a, b\).* REID_DATABASE_URL"):
        check_reach(["b", "here", "a"], database)
    check_reach(["b", "here", "a"], SERVER)


@pytest.fixture
def home() -> Iterator[Path]:
    """A path as short as people's own."""
    made = Path(tempfile.mkdtemp(dir="/tmp"))
    yield made
    shutil.rmtree(made)


def test_each_ray_has_a_private_folder_that_goes_with_it(home: Path) -> None:
    with own_folder(home) as first, own_folder(home) as second:
        assert first.parent == home / "ray"
        assert first != second
        assert first.stat().st_mode & 0o077 == first.parent.stat().st_mode & 0o077 == 0
    assert not first.exists()
    assert not second.exists()


def test_what_a_killed_run_left_is_removed(home: Path) -> None:
    with own_folder(home) as folder:
        pass
    (folder / "session").mkdir(parents=True)
    with own_folder(home) as again:
        assert again == folder
        assert list(again.iterdir()) == []


def test_a_home_too_deep_for_a_socket(tmp_path: Path) -> None:
    with own_folder(tmp_path / ("deep" * 10)) as folder:
        assert folder.parent == Path("/tmp")
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--address", "auto"], "add --engine ray"),
        (["--engine", "ray", "--enqueue"], "leave out one of the two"),
        (["--engine", "ray", "--watch"], "leave out one of the two"),
    ],
)
def test_options_that_exclude_each_other(
    options: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("REID_HOME", str(tmp_path / "home"))
    assert run(["ingest", str(tmp_path), "--collection", "c", *options]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest.ray.cluster, "find_spec", lambda _: None)
    with pytest.raises(ingest.ray.cluster.RayMissing, match="its extra `cluster`"):
        ingest.ray.cluster.check_installed()


def test_ray_client_is_refused() -> None:
    with pytest.raises(NotAnAddress, match="with --address auto"):
        check_address("ray://10.0.0.5:10001")
    check_address("10.0.0.5:6379")
