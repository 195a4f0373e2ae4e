"""What training brings: the same measurement of a network before and after it, beside guessing.

    python benchmarks/baselines.py --data DIR --strangers FOLDER --model FILE [--model FILE ...]

The people are those that the split of the first FILE's recipe holds out; the strangers are the
gallery's distractors. Rows: the network as it is initialised, the same with ImageNet weights in its
trunk (where they are at hand), and each FILE. A random order and the majority stand at the end.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from errors import ReidError
from images.preprocessing import Preprocessing, joint_preprocessing
from images.walk import walk
from models.checkpoint import BadCheckpoint, Header, read_header
from models.nets.joint_net import WITH_PARTS, JointNet
from models.nets.load import save
from models.training.data import LabelledImages, load_training_folder, split_people
from models.training.measure import measured
from models.training.start import NoStartWeights, start_from_imagenet

ROW = "| {:<28} | {:>6} | {:>6} | {:>6} | {:>6} | {:>8} | {:>8} |"
NAMES = ("", "mAP", "rank-1", "mAP+d", "r-1+d", "accuracy", "balanced")


def held_out(data: Path, header: Header, preprocessing: Preprocessing) -> LabelledImages:
    """The people that the header's recipe never trained on. Raises BadCheckpoint."""
    images = load_training_folder(data, preprocessing)
    recipe = header.recipe.get("siamese", header.recipe)
    people = split_people(images.pids, recipe["held_out"], recipe["seed"])[1]
    if known := people & set(header.trained_pids):
        raise BadCheckpoint(f"the model was trained on {len(known)} of the people held out")
    return images.of_people(people)


def untrained(path: Path, start: Callable[[JointNet], None] | None, size: tuple[int, int]) -> Path:
    torch.manual_seed(7)
    net = JointNet()
    if start:
        start(net)
    save(path, net, Header(WITH_PARTS, joint_preprocessing(*size)), half=True)
    return path


def figures(path: Path, first: Header, data: Path, strangers: list[Path]) -> dict[str, Any]:
    header = read_header(path)
    images = held_out(data, first, header.preprocessing)
    if known := set(images.pids) & set(header.trained_pids):
        raise BadCheckpoint(f"{path} was trained on {len(known)} of the people held out")
    return dict(measured(path, header, images, strangers, first.recipe.get("seed", 0)).metrics)


def line(name: str, found: dict[str, Any]) -> str:
    small, large, rest = found["reid"], found["reid_with_distractors"], found["attributes"]
    numbers = (
        small["mAP"], small["rank1"], large["mAP"], large["rank1"],
        rest["mean_accuracy"], rest["mean_balanced_accuracy"],
    )  # fmt: skip
    return ROW.format(name, *(f"{number:.4f}" for number in numbers))


def guessing(found: dict[str, Any]) -> str:
    small, large, rest = found["reid"], found["reid_with_distractors"], found["attributes"]
    numbers = (
        small["chance_mAP"], small["chance_rank1"], large["chance_mAP"], large["chance_rank1"],
        rest["majority_accuracy"], rest["majority_balanced_accuracy"],
    )  # fmt: skip
    return ROW.format("random order, majority", *(f"{number:.4f}" for number in numbers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--strangers", type=Path, required=True)
    parser.add_argument("--model", type=Path, action="append", required=True)
    given = parser.parse_args()
    first = read_header(given.model[0])
    size = first.preprocessing.height, first.preprocessing.width
    strangers = [given.strangers / file.path for file in walk(given.strangers).files]
    print(ROW.format(*NAMES))
    print(ROW.format(*("-" * 6 for _ in NAMES)))
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, start in (("untrained", None), ("ImageNet, untrained head", start_from_imagenet)):
            try:
                path = untrained(Path(folder) / "net.safetensors", start, size)
            except NoStartWeights as error:
                print(ROW.format(name, *("-" for _ in NAMES[1:])), error)
                continue
            print(line(name, figures(path, first, given.data, strangers)), flush=True)
        for path in given.model:
            try:
                found = figures(path, first, given.data, strangers)
                print(
                    line(f"{path.stem} ({read_header(path).architecture})"[-28:], found), flush=True
                )
            except ReidError as error:
                print(f"{path}: {error}")
    if found:
        print(guessing(found))


if __name__ == "__main__":
    main()
