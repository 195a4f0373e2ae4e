"""`reid adapt` on drawn people: a model beside the old one, what it has seen, and how it ends."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, text

from drawn.dataset import draw_dataset
from tests.acceptance.conftest import Reid

RECIPE = """
epochs = 1
height = 64
width = 32
people = 2
images = 2
junk = 1
rate = 1e-4
weight_decay = 5e-4
warmup_epochs = 0
label_smoothing = 0.1
identity_scale = 24.0
identity_margin = 0.3
part_weight = 0.5
triplet_weight = 1.0
attribute_weight = 1.0
quality_weight = 1.0
rare_power = 0.5
whitening = 0.0
score_weight = 0.0
flip_average = false
held_out = 0.0
seed = 7
"""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight people, six images each: enough that groups lie apart."""
    folder = tmp_path_factory.mktemp("people")
    draw_dataset(folder, train_people=8, test_people=1, images_per_person=6, distractors=0)
    return folder


@pytest.fixture
def adapted(reid: Reid, people: Path, tmp_path: Path) -> Reid:
    """Drawn people, ingested, and a recipe of a few small steps."""
    assert reid("ingest", people / "train", "--collection", "station").code == 0
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return reid


def test_a_new_model_beside_the_old_one(adapted: Reid, engine: Engine) -> None:
    asked = ("adapt", "--collection", "station", "--recipe", "tiny.toml", "--rounds", 1,
             "--density", 0.3)  # fmt: skip
    found = adapted(*asked, "--format", "json")
    assert found.code == 0, found.err
    document = found.json("adapt")
    assert (document["model"], document["start"]) == ("default-adapted", "default")
    assert document["images"] > 0
    assert document["left_out"] == 0
    assert document["rounds"][0]["groups"] >= 2
    assert document["max_distance"] > 0
    assert "round 1: " in found.err
    assert "compare, then `reid model activate default-adapted`" in found.err
    active = {row["name"]: row["active"] for row in json.loads(
        adapted("model", "list", "--format", "json").out
    )}  # fmt: skip
    assert active == {"default": True, "default-adapted": False}
    with engine.connect() as connection:
        seen = connection.scalar(text("SELECT count(*) FROM model_content"))
        rows = connection.execute(text("SELECT action FROM audit WHERE action = 'adapt'")).all()
    assert seen == document["images"]
    assert len(rows) == 1
    # its limit is of the kind of the start's: the default's is one of centred distances
    new, old = (
        json.loads(adapted("model", "card", name).out) for name in ("default-adapted", "default")
    )
    assert new["centred"] and old["centred"]
    assert new["calibration"] == {"source": "carried over", "from": old["max_distance"]}
    assert new["trained_people"] == old["trained_people"]
    # what the model has seen is told when it is erased, and is not forgotten
    told = adapted("erase", "--collection", "station", "--dry-run", "--format", "json")
    assert told.json("erase")["models"] == {"default-adapted": seen}
    assert f"model default-adapted has learned from {seen} of them" in told.err
    # the same command again trains nothing, and gives the same model
    again = adapted(*asked, "--format", "json").json("adapt")
    assert again == document


def test_images_that_are_gone_or_changed_are_left_out(
    adapted: Reid, people: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in sorted((people / "train").iterdir()):
        (copy / file.name).write_bytes(file.read_bytes() + b"\0")
    assert adapted("ingest", copy, "--collection", "copy").code == 0
    names = sorted(copy.iterdir())
    names[0].unlink()
    names[1].write_bytes(names[2].read_bytes())
    found = adapted("adapt", "--collection", "copy", "--recipe", "tiny.toml", "--rounds", 1,
                    "--density", 0.3, "--format", "json")  # fmt: skip
    assert found.code == 0, found.err
    assert found.json("adapt")["left_out"] == 2
    assert "2 images are gone from their place or changed, and were left out" in found.err


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--collection", "nowhere"), 2, "no collection 'nowhere'"),
        (("--collection", "station", "--density", 1.5), 2,
         "--density is 1.5; expected between 0 and 1"),
        (("--collection", "station", "--density", 0.3), 1,
         "groups that may be people, and a batch holds 16; bring more images"),
    ],
)  # fmt: skip
def test_what_cannot_be_adapted_to_is_said_in_a_sentence(
    adapted: Reid, words: tuple[object, ...], code: int, sentence: str
) -> None:
    found = adapted("adapt", *words)
    assert found.code == code
    assert sentence in found.err
    assert found.out == ""


def test_an_adapted_model_has_seen_what_its_start_has_seen(
    adapted: Reid, people: Path, engine: Engine
) -> None:
    asked = ("--recipe", "tiny.toml", "--rounds", 1, "--density", 0.3, "--format", "json")
    first = adapted("adapt", "--collection", "station", *asked).json("adapt")
    # another collection than the first model's: half of the same people's images
    few = people.parent / "few"
    few.mkdir(exist_ok=True)
    for file in sorted((people / "train").iterdir())[:30]:
        (few / file.name).write_bytes(file.read_bytes() + b"\0")
    assert adapted("ingest", few, "--collection", "few").code == 0
    found = adapted(
        "adapt", "--collection", "few", "--model", first["model"], "--name", "second",
        "--out", "runs/second", "--data", people, *asked,
    )  # fmt: skip
    assert found.code == 0, found.err
    with engine.connect() as connection:
        counts = connection.execute(
            text(
                "SELECT m.name, count(*) FROM model_content c JOIN model m ON m.id = c.model_id"
                " GROUP BY m.name"
            )
        ).all()
    assert dict(tuple(row) for row in counts) == {first["model"]: 48, "second": 78}
    card = json.loads(adapted("model", "card", "second").out)
    # whom a labelled folder names is known by the folder's name
    assert card["trained_people"][people.name] == "8 people"


def test_the_limit_is_carried_over_between_what_is_compared(
    adapted: Reid, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a centred model these are the centred embeddings, as they are stored."""
    seen: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = []

    def look(before_ND: Any, _after_ND: Any, limit: float) -> float:
        seen.append(before_ND)
        return limit

    monkeypatch.setattr("people.adapt.carried_over", look)
    found = adapted("adapt", "--collection", "station", "--recipe", "tiny.toml", "--rounds", 1,
                    "--density", 0.3)  # fmt: skip
    assert found.code == 0, found.err
    with engine.connect() as connection:
        rows = connection.scalars(
            text(
                "SELECT f.embedding::real[] FROM feature f JOIN image i ON i.id = f.image_id"
                ' ORDER BY i.path COLLATE "C"'
            )
        ).all()
    apart = np.linalg.norm(np.array(rows) - seen[0], axis=1)
    assert apart.max() < 0.1  # what two engines differ by; without centring .2 and more
