"""Fault points: off they do nothing, and what arms none is refused."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from db import faults

ROOT = Path(__file__).resolve().parents[2]
SETTING = "db.faults._ARMED"


def test_off_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    assert faults._armed("") is None
    monkeypatch.setattr(SETTING, None)
    for point in faults.POINTS:
        faults.reached(point)


def test_killed_when_a_point_is_reached_for_the_second_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REID_FAULT", "before_commit:2:kill")
    code = (
        "from db.faults import reached\n"
        "for point in ('before_commit', 'after_commit', 'after_commit', 'before_commit'):\n"
        "    print(point, flush=True)\n"
        "    reached(point)\n"
        "print('alive')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["before_commit", "after_commit", "after_commit", "before_commit"]


def test_held_until_the_file_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "held: here"
    monkeypatch.setattr(SETTING, faults._armed(f"in_copy:1:hold:{file}"))
    monkeypatch.setattr("db.faults._TIMES", iter([1, 2]))
    thread = threading.Thread(target=faults.reached, args=["in_copy"])
    thread.start()
    while not file.exists():
        assert thread.is_alive()
    file.unlink()
    thread.join(10)
    assert not thread.is_alive()
    faults.reached("in_copy")  # once only
    assert not file.exists()


@pytest.mark.parametrize(
    "setting",
    ["claim:1:kill", "in_copy", "in_copy:0:kill", "in_copy:1:hold", "in_copy:1:kill:x"],
)
def test_what_arms_nothing_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match="no fault "):
        faults._armed(setting)


def test_every_point_is_somewhere_in_the_code() -> None:
    code = "".join(
        path.read_text()
        for room in ("db", "gallery", "ingest")
        for path in (ROOT / room).rglob("*.py")
    )
    for point in faults.POINTS:
        assert f'reached("{point}")' in code
