"""A whole day without torch: people are taken in, searched for and exported, and what needs torch
says so in one sentence."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.light

ROOT = Path(__file__).resolve().parents[2]
WAY_OUT = "`make install`, or this program with its extra `torch`, brings it"
# a Python in which torch cannot be found, whatever is installed
WITHOUT = (
    "import sys, importlib.util as u\n"
    "class Nowhere:\n"
    "    def find_spec(self, name, path=None, target=None):\n"
    "        if name.partition('.')[0] in ('torch', 'torchvision'):\n"
    "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
    "sys.meta_path.insert(0, Nowhere())\n"
    "found = u.find_spec\n"
    "u.find_spec = lambda name, package=None: None if name == 'torch' else found(name, package)\n"
    "from cli import main\n"
    "main()\n"
)


def light(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`reid` on a light installation, in the environment that the fixture `reid` has set up."""
    command = [sys.executable, "-c", WITHOUT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def said(*arguments: object) -> str:
    done = light(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("reid")
def test_the_whole_way_without_torch(people: Path, tmp_path: Path) -> None:
    assert '"inference": "openvino' in said(
        "ingest", people / "gallery", "--collection", "gallery", "--format", "json"
    )
    query = sorted((people / "query").iterdir())[0]
    assert '"rank": 1' in said("search", query, "--collection", "gallery", "--format", "json")
    said("query", "add", "set", people / "query", "--collection", "gallery", "--limit", "5")
    said("query", "run", "set", "--purpose", "test")
    text = tmp_path / "reid_test.txt"
    said("export", "reid-test", "--query-set", "set", "--min-quality", "0", "--out", text)
    assert len(text.read_text().splitlines()) == len(list((people / "query").iterdir()))
    onnx = tmp_path / "default.onnx"
    assert "scores, embedding, quality" in said("model", "export", "default", onnx)
    assert onnx.stat().st_size > 10_000_000
    assert "not installed: training, GPUs" in said("doctor")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("--inference", "torch", "search", "QUERY", "--collection", "gallery"),
            "--inference torch needs torch",
        ),
        (
            ("ingest", "FOLDER", "--collection", "gallery", "--device", "cuda"),
            "--device cuda needs torch",
        ),
        (("train", "joint", "--data", "DATA", "--out", "OUT"), "this needs torch"),
    ],
)
@pytest.mark.usefixtures("reid")
def test_what_needs_torch_says_so(
    arguments: tuple[str, ...], sentence: str, people: Path, tmp_path: Path
) -> None:
    places = {
        "QUERY": sorted((people / "query").iterdir())[0],
        "FOLDER": people / "gallery",
        "DATA": people,
        "OUT": tmp_path / "run",
    }
    said("ingest", people / "gallery", "--collection", "gallery")
    done = light(*(places.get(word, word) for word in arguments))
    assert done.returncode == 1, done.stderr
    assert done.stderr == f"reid: {sentence}, which is not installed; {WAY_OUT}\n"
