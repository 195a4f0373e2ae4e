"""The shipped models on real people; skips where the images are missing.

They are never part of the repository: the archive lies beside it, in `shared/data`.
"""

import hashlib
import tarfile
from collections import defaultdict
from pathlib import Path

import pytest

from images.names import facts_of
from models.checkpoint import read_header
from models.shipped import shipped_checkpoint
from tests.acceptance.conftest import Reid
from tests.batch_answers import read_reid_test

ARCHIVE = Path(__file__).resolve().parents[3] / "shared" / "data" / "market1501-unitn.tar.gz"
PEOPLE, STRANGERS, QUERIES = 12, 300, 10
FIRST = shipped_checkpoint().with_name("first.safetensors")

pytestmark = [
    pytest.mark.real_images,
    pytest.mark.skipif(not ARCHIVE.exists(), reason="the real images are not beside this clone"),
]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`query/`, `gallery/` of people held out, `strangers/`, and `test/` with `queries/` twins."""
    folder = tmp_path_factory.mktemp("real")
    trained = set(read_header(FIRST).trained_pids)
    with tarfile.open(ARCHIVE) as archive:
        members = {member.name.removeprefix("./"): member for member in archive if member.isfile()}
        by_pid: dict[int, list[str]] = defaultdict(list)
        for name in sorted(members):
            pid = facts_of(Path(name).name).pid
            if name.startswith("train/") and pid is not None and pid not in trained:
                by_pid[pid].append(name)
        wanted = [name for pid in sorted(by_pid)[:PEOPLE] for name in by_pid[pid]]
        seen: set[tuple[int | None, int | None]] = set()

        def keep(name: str, below: str) -> None:
            file = archive.extractfile(members[name])
            assert file is not None
            target = folder / below / Path(name).name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(file.read())

        for name in sorted(wanted, key=lambda name: members[name].offset):
            facts = facts_of(Path(name).name)
            keep(name, "gallery" if facts in seen else "query")
            seen.add(facts)
        test = sorted(n for n in members if n.startswith("test/"))
        for name in sorted(test[:STRANGERS], key=lambda name: members[name].offset):
            keep(name, "strangers")
        keep("annotations_train.csv", ".")
        for name in sorted(n for n in members if n.startswith("queries/"))[:QUERIES]:
            keep(name, "queries")
    return folder


def test_people_never_seen_are_found_among_strangers(reid: Reid, real: Path) -> None:
    # the default was trained on everybody; the first default was not, and is measured the same way
    assert reid("model", "add", FIRST, "--name", "first").code == 0
    assert reid("model", "activate", "first").code == 0
    for name in ("query", "gallery", "strangers"):
        assert reid("ingest", real / name, "--collection", name).code == 0
    report = reid(
        "evaluate", "reid", "--query", "query", "--gallery", "gallery", "--gallery", "strangers",
        "--format", "json",
    ).json("evaluate-reid")  # fmt: skip
    assert report["num_distractors"] == STRANGERS
    # 0.86 at the time of writing; a random order gives 0.04
    assert report["mAP"] > 0.75
    assert report["chance_mAP"] < 0.1

    attributes = reid(
        "evaluate", "attributes", "--collection", "gallery",
        "--annotations", real / "annotations_train.csv", "--format", "json",
    ).json("evaluate-attributes")  # fmt: skip
    assert attributes["mean_accuracy"] > attributes["majority_accuracy"]
    assert attributes["mean_balanced_accuracy"] > 0.65


def test_a_query_finds_the_copy_of_itself_first(reid: Reid, real: Path, tmp_path: Path) -> None:
    gallery = tmp_path / "test"
    gallery.mkdir()
    for path in [*(real / "strangers").iterdir(), *(real / "queries").iterdir()]:
        (gallery / f"{path.parent.name}_{path.name}").write_bytes(path.read_bytes())
    assert reid("ingest", gallery, "--collection", "test").code == 0
    reid("query", "add", "all", real / "queries", "--collection", "test", "--max-distance", "auto")
    assert reid("query", "run", "all").code == 0
    out = tmp_path / "reid_test.txt"
    reid("export", "reid-test", "--query-set", "all", "--out", out)
    content = {p.name: hashlib.sha256(p.read_bytes()).digest() for p in gallery.iterdir()}
    lines = list(read_reid_test(out.read_text()))
    assert len(lines) == QUERIES
    for query, matches in lines:
        data = (real / "queries" / query).read_bytes()
        assert content[matches[0]] == hashlib.sha256(data).digest()
