"""How large the embedded server becomes: by the machine, or by the container around it."""

import os
from pathlib import Path

import pytest

from db.server.machine import Machine, server_settings, this_machine

GB = 2**30


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """32 GB, 16 cores."""
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 32 * GB // 4096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    monkeypatch.setattr("db.server.machine._usable_cores", lambda: 16)


def group(root: Path, path: str, **files: str) -> None:
    folder = root / "sys/fs/cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content + "\n")


def lies_in(root: Path, path: str) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(f"0::{path}\n")


@pytest.mark.usefixtures("machine")
def test_without_limits_it_is_the_machine(tmp_path: Path) -> None:
    assert this_machine(tmp_path) == Machine(32 * 1024, 16)
    group(tmp_path, "", memory_max="max", cpu_max="max 100000")
    lies_in(tmp_path, "/")
    assert this_machine(tmp_path) == Machine(32 * 1024, 16)


@pytest.mark.usefixtures("machine")
def test_a_container_sees_its_own_group_at_the_top(tmp_path: Path) -> None:
    group(tmp_path, "", memory_max=str(2 * GB), cpu_max="350000 100000")
    lies_in(tmp_path, "/docker/of-the-host")
    assert this_machine(tmp_path) == Machine(2048, 3)


@pytest.mark.usefixtures("machine")
def test_the_narrowest_group_around_counts(tmp_path: Path) -> None:
    group(tmp_path, "user.slice", memory_max=str(8 * GB), cpu_max="400000 100000")
    group(tmp_path, "user.slice/job", memory_max=str(16 * GB), cpu_max="50000 100000")
    group(tmp_path, "other.slice", memory_max=str(GB))
    lies_in(tmp_path, "/user.slice/job")
    assert this_machine(tmp_path) == Machine(8 * 1024, 1)


@pytest.mark.usefixtures("machine")
def test_a_limit_above_the_machine_changes_nothing(tmp_path: Path) -> None:
    group(tmp_path, "", memory_max=str(64 * GB), cpu_max="9900000 100000")
    assert this_machine(tmp_path) == Machine(32 * 1024, 16)


def test_this_machine_is_some_machine() -> None:
    found = this_machine()
    assert found.memory_mb > 100
    assert 1 <= found.cores <= (os.cpu_count() or 1)


def mb(settings: dict[str, str], name: str) -> int:
    return int(settings[name].removesuffix("MB"))


@pytest.mark.parametrize(
    ("memory_mb", "buffers", "building", "working"),
    [
        (256, 128, 64, 8),
        (2_048, 512, 256, 8),
        (8_192, 2_048, 1_024, 32),
        (16_384, 4_096, 2_048, 64),
        (262_144, 8_192, 2_048, 64),
    ],
)
def test_memory(memory_mb: int, buffers: int, building: int, working: int) -> None:
    settings = server_settings(Machine(memory_mb, 4))
    names = ("shared_buffers", "maintenance_work_mem", "work_mem")
    assert [mb(settings, name) for name in names] == [buffers, building, working]
    assert mb(settings, "effective_cache_size") == max(256, memory_mb // 2)


@pytest.mark.parametrize(
    ("cores", "of_a_query", "of_a_build", "in_all"),
    [(1, 0, 0, 8), (2, 1, 1, 8), (6, 4, 5, 8), (64, 4, 8, 64)],
)
def test_cores(cores: int, of_a_query: int, of_a_build: int, in_all: int) -> None:
    settings = server_settings(Machine(8_192, cores))
    assert settings["max_parallel_workers_per_gather"] == str(of_a_query)
    assert settings["max_parallel_maintenance_workers"] == str(of_a_build)
    assert settings["max_parallel_workers"] == settings["max_worker_processes"] == str(in_all)


@pytest.mark.parametrize(
    ("shared_mb", "of_a_query", "of_a_build"), [(64, 0, 0), (512, 3, 0), (1_280, 3, 3)]
)
def test_workers_need_room_to_share(shared_mb: int, of_a_query: int, of_a_build: int) -> None:
    """Docker gives a container 64 MB of shared memory; a parallel build of 1 GB would fail."""
    settings = server_settings(Machine(8_192, 4, shared_mb))
    assert settings["max_parallel_workers_per_gather"] == str(of_a_query)
    assert settings["max_parallel_maintenance_workers"] == str(of_a_build)
