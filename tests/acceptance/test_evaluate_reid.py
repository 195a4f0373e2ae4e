"""`reid evaluate reid` as a user runs it: what it prints, and what it says of people it knows."""

import csv
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from models.checkpoint import read_header
from models.shipped import shipped_checkpoint
from tests.acceptance.conftest import Reid

EVALUATE = ("evaluate", "reid", "--query", "q", "--gallery", "g")


@pytest.fixture
def stored(reid: Reid, people: Path) -> Reid:
    """The drawn people as `q` and `g`."""
    for name, folder in (("q", "query"), ("g", "gallery")):
        assert reid("ingest", people / folder, "--collection", name).code == 0
    return reid


def test_the_figures_with_and_without_re_ranking_stand_beside_chance(stored: Reid) -> None:
    plain = stored(*EVALUATE, "--format", "json").json("evaluate-reid")
    both: dict[str, Any] = stored(*EVALUATE, "--rerank", "--format", "json").json("evaluate-reid")
    assert plain["rerank"] is None
    assert {**both, "rerank": None, "lists": plain["lists"]} == plain
    assert [row["distance"] for row in both["lists"]] == ["plain", "re-ranked"]
    assert both["rerank"]["candidates"] is None
    some = stored(*EVALUATE, "--rerank", "--candidates", 5, "--format", "json").json(
        "evaluate-reid"
    )
    assert some["rerank"]["candidates"] == 5

    figures, counts, *_lists = stored(*EVALUATE, "--rerank").out.split("\n\n")
    header, *lines = (re.split(" {2,}", line) for line in figures.splitlines())
    assert header == ["order", "mAP", "mINP", "rank1", "rank5", "rank10"]
    printed = {name: words for name, *words in lines}
    assert list(printed) == ["by distance", "re-ranked", "random"]
    for name, document in (("by distance", plain), ("re-ranked", both["rerank"])):
        wanted = [f"{document[key]:.4f}" for key in ("mAP", "mINP", "rank1", "rank5", "rank10")]
        assert printed[name] == wanted
    assert printed["random"] == [f"{plain['chance_mAP']:.4f}", f"{plain['chance_rank1']:.4f}"]
    names, values = (line.split() for line in counts.splitlines())
    for name, value in zip(names, values, strict=True):
        assert str(plain[name]) == value

    listed = stored(*EVALUATE, "--rerank", "--format", "jsonl").out.splitlines()
    every = [plain["mINP"], both["rerank"]["mINP"], None]
    assert [json.loads(line)["mINP"] for line in listed] == every
    rows = list(csv.DictReader(io.StringIO(stored(*EVALUATE, "--rerank", "--format", "csv").out)))
    assert [row["order"] for row in rows] == list(printed)
    assert float(rows[1]["mAP"]) == both["rerank"]["mAP"]
    assert {row["num_valid_queries"] for row in rows} == {str(plain["num_valid_queries"])}


def test_candidates_without_re_ranking(reid: Reid) -> None:
    result = reid(*EVALUATE, "--candidates", 5)
    assert (result.code, result.out) == (2, "")
    assert "add --rerank" in result.err


@pytest.fixture(scope="module")
def named(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn people with the numbers of six that the shipped model was trained on, and one more."""
    folder = tmp_path_factory.mktemp("named")
    trained = read_header(shipped_checkpoint()).trained_pids
    numbers = [*trained[:6], max(trained) + 1]
    for number, path in zip(numbers, sorted((people / "train").glob("*_c*")), strict=False):
        os.link(path, folder / f"{number:04}_c1_{number:09}.png")
    return folder


def test_of_people_who_are_told_apart_nothing_is_said(reid: Reid, named: Path) -> None:
    """Somebody has named their space, and it is not the model's."""
    assert reid("ingest", named, "--collection", "c", "--identities", "elsewhere").code == 0
    result = reid("evaluate", "reid", "--query", "c", "--gallery", "c", "--format", "json")
    assert "trained" not in result.err
    assert result.json("evaluate-reid")["trained_on_if_same_space"] == 6


@pytest.mark.parametrize("same_space", [True, False])
def test_people_that_the_model_was_trained_on_are_named(
    reid: Reid, named: Path, same_space: bool
) -> None:
    header = read_header(shipped_checkpoint())
    space = ["--identities", header.identity_space] if same_space else []
    assert reid("ingest", named, "--collection", "c", *space).code == 0
    result = reid("evaluate", "reid", "--query", "c", "--gallery", "c", "--format", "json")
    first = ", ".join(str(pid) for pid in header.trained_pids[:5])
    people = f"6 of the 7 people ({first}, ...)"
    if same_space:
        wanted = f"warning: the model was trained on {people}; the figures say nothing"
    else:
        wanted = (
            f"note: the model was trained on people of {header.identity_space!r}; if these are "
            f"the same, it knows {people}, and the figures say nothing about strangers"
        )
    assert wanted in result.err
    report = result.json("evaluate-reid")
    assert report["trained_on"] == (6 if same_space else 0)
    assert report["trained_on_pids"] == list(header.trained_pids[:6])


def test_of_strangers_nothing_is_said(reid: Reid, named: Path, tmp_path: Path) -> None:
    folder = tmp_path / "strangers"
    folder.mkdir()
    path = sorted(named.iterdir())[-1]
    os.link(path, folder / path.name)
    assert reid("ingest", folder, "--collection", "c").code == 0
    assert "trained" not in reid("evaluate", "reid", "--query", "c", "--gallery", "c").err
