"""Training from the command line: the report's two networks, the bad input, several processes."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.checkpoint import read_header
from tests.acceptance.conftest import Reid, Result

ROOT = Path(__file__).resolve().parents[2]
ATTRIBUTES = {
    "epochs": 1, "trunk": "googlenet", "optimiser": "adam", "rate": 1e-3, "beta1": 0.5,
    "beta2": 0.999, "momentum": 0.9, "batch": 8, "held_out": 0.5, "seed": 7,
}  # fmt: skip
SIAMESE = {**{k: v for k, v in ATTRIBUTES.items() if k != "trunk"}, "margin": 2.0}


def recipe(folder: Path, values: dict[str, Any], **changes: Any) -> Path:
    path = folder / "mine.toml"
    merged = {**values, **changes}
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in merged.items()))
    return path


@pytest.fixture
def data(people: Path, tmp_path: Path) -> Path:
    """A copy of the drawn people that a test may spoil."""
    folder = tmp_path / "data"
    shutil.copytree(people / "train", folder / "train")
    shutil.copy(people / "annotations_train.csv", folder)
    return folder


def attributes(reid: Reid, data: Path, *more: object, **changes: Any) -> Result:
    mine = recipe(data, ATTRIBUTES, **changes)
    return reid("train", "attributes", "--data", data, "--recipe", mine, "--start", "none", *more)


def siamese(reid: Reid, data: Path, *more: object, **changes: Any) -> Result:
    mine = recipe(data, SIAMESE, **changes)
    checkpoint = "runs/attributes/model.safetensors"
    asked = ("--data", data, "--recipe", mine, "--attributes", checkpoint)
    return reid("train", "siamese", *asked, *more)


def test_attributes_then_siamese_then_a_search(
    reid: Reid, people: Path, data: Path, tmp_path: Path
) -> None:
    trained = attributes(reid, data)
    assert trained.code == 0, trained.err
    document = trained.json()
    assert document["checkpoint"] == "runs/attributes/model.safetensors"
    figures = document["metrics"]["attributes"]
    assert 0 < figures["mean_accuracy"] <= 1
    assert 0 < figures["bits_majority_accuracy"] <= 1
    assert "epoch 1: loss 0." in trained.err
    assert "(majority 0." in trained.err
    assert "go on with: reid train siamese --data" in trained.err

    alone = reid("model", "add", document["checkpoint"])
    assert alone.code == 1
    assert alone.err == (
        "reid: seed-googlenet-attributes has attributes and no embedding yet; go on with "
        "`reid train siamese --attributes FILE`, and use what that writes\n"
    )

    paired = siamese(reid, data, "--strangers", people / "test")
    assert paired.code == 0, paired.err
    document = paired.json()
    assert document["metrics"]["reid_with_distractors"]["num_gallery"] > 24
    assert "no distance is calibrated" in document["notes"]
    assert "(chance " in paired.err
    header = read_header(tmp_path / document["checkpoint"])
    assert len(header.trained_pids) == 2

    assert reid("model", "add", document["checkpoint"], "--name", "seed").code == 0
    added = reid("ingest", people / "gallery", "--collection", "g", "--model", "seed")
    assert added.code == 0, added.err
    query = min((people / "query").iterdir())
    found = reid("search", query, "--collection", "g", "--model", "seed", "--format", "json")
    matches = found.json("search")["queries"][0]["matches"]
    distances = [match["distance"] for match in matches]
    assert distances == sorted(distances)
    assert len(matches) == len(list((people / "gallery").iterdir()))


def test_the_same_command_goes_on_and_another_is_refused(reid: Reid, data: Path) -> None:
    first = attributes(reid, data, "--device", "cpu")
    again = attributes(reid, data, "--device", "cpu")
    assert again.code == 0, again.err
    assert "going on after epoch 1 of 1" in again.err
    assert again.json() == first.json()
    other = attributes(reid, data, rate=1e-4)
    assert other.code == 1
    assert other.err == (
        "reid: runs/attributes/last.pt belongs to another recipe; name another folder with --out "
        "or remove it\n"
    )


def test_patience_leaves_the_best_epoch(reid: Reid, data: Path) -> None:
    ended = attributes(reid, data, "--epochs", 6, "--patience", 1, rate=0.5)
    assert ended.code == 0, ended.err
    last = [line for line in ended.err.splitlines() if line.startswith("the weights are those of")]
    assert len(last) == 1
    nobody = attributes(reid, data, "--out", "other", "--patience", 1, held_out=0.0)
    assert (nobody.code, nobody.err) == (
        2,
        "reid: --patience needs people held out; raise `held_out` in the recipe\n",
    )


# Bad input


Spoil = Callable[[Path], object]


def rewrite(data: Path, change: Callable[[list[dict[str, str]]], object]) -> None:
    path = data / "annotations_train.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    change(rows)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def keep_one_person(data: Path) -> None:
    names = sorted(path.name for path in (data / "train").iterdir())
    for name in names:
        if name[:4] != names[0][:4]:
            (data / "train" / name).unlink()


def keep_one_image_each(data: Path) -> None:
    seen = set()
    for path in sorted((data / "train").iterdir()):
        if path.name[:4] in seen:
            path.unlink()
        seen.add(path.name[:4])


SPOILT: dict[str, tuple[Spoil, str]] = {
    "no images": (
        lambda d: shutil.rmtree(d / "train"),
        "no image of a person in {d}/train or {d}: expected PPPP_cC_",
    ),
    "no annotations": (
        lambda d: (d / "annotations_train.csv").unlink(),
        "no attribute of anybody is known; bring annotations_train.csv with 27 columns",
    ),
    "a value out of range": (
        lambda d: rewrite(d, lambda rows: rows[1].update(age="5")),
        "{d}/annotations_train.csv, line 3: age is '5', expected 1 to 4",
    ),
    "one identity": (keep_one_person, "{d}/train holds fewer than two people"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_data_that_cannot_be_trained_on(reid: Reid, data: Path, what: str) -> None:
    spoil, wanted = SPOILT[what]
    spoil(data)
    found = attributes(reid, data)
    assert found.code == 2
    assert found.out == ""
    assert found.err.startswith("reid: " + wanted.format(d=data))
    assert found.err.count("\n") == 1, "one sentence"
    assert not Path("runs").exists()


def test_a_person_without_a_row_has_no_known_attribute(reid: Reid, data: Path) -> None:
    rewrite(data, lambda rows: rows.pop())
    assert attributes(reid, data).code == 0


def test_annotations_of_nobody_are_only_warned_about(reid: Reid, data: Path) -> None:
    rewrite(data, lambda rows: rows.extend([{**rows[0], "id": n} for n in ("900", "901")]))
    found = attributes(reid, data)
    assert found.code == 0
    assert found.err.startswith(
        f"2 annotated people of {data} have no image, the first is 900; training goes on "
        "without them\n"
    )


def test_people_with_one_image_each(reid: Reid, data: Path) -> None:
    keep_one_image_each(data)
    assert attributes(reid, data).code == 0, "attributes can be learned of them"
    found = siamese(reid, data)
    assert (found.code, found.err) == (
        2,
        "reid: pairs need two images of one person, and another person; bring more images\n",
    )


def test_a_rate_that_leads_to_no_number(reid: Reid, data: Path) -> None:
    found = attributes(reid, data, optimiser="sgd", rate=1e30, epochs=3)
    assert found.code == 1
    assert found.out == ""
    assert found.err.splitlines()[-1] == (
        "reid: the loss became nan in epoch 2; the checkpoint of the epoch before is in "
        "runs/attributes; try again with a lower rate"
    )


def test_other_words(reid: Reid, data: Path, people: Path) -> None:
    trunk = attributes(reid, data, "--trunk", "vgg")
    assert trunk.code == 2
    assert trunk.err.startswith("reid: trunk is 'vgg', expected one of alexnet, googlenet")
    missing = siamese(reid, data)
    assert missing.code == 1
    assert missing.err.startswith("reid: no checkpoint file runs/attributes/model.safetensors")
    shipped = ROOT / "models" / "weights" / "default.safetensors"
    other = reid("train", "siamese", "--data", people, "--attributes", shipped)
    assert other.code == 1
    assert other.err.endswith("; expected what `reid train attributes` wrote\n")


# Several processes


@pytest.mark.long
def test_torchrun_trains_with_two_processes_and_one_of_them_speaks(
    data: Path, tmp_path: Path
) -> None:
    mine = recipe(data, ATTRIBUTES)
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
            # without the dashes, torchrun takes --start for an option of its own
            "--", str(ROOT / "cli.py"), "train", "attributes", "--data", str(data),
            "--recipe", str(mine),
            "--start", "none", "--device", "cpu",
        ],
        cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert np.isfinite(document["metrics"]["attributes"]["mean_accuracy"])
    assert done.stderr.count("epoch 1: loss ") == 1
    header = read_header(tmp_path / document["checkpoint"])
    assert header.architecture == "seed-googlenet-attributes"
