"""Several trunks and optimisers under one budget: the report's choice of ResNet50, repeated."""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from files import write_whole
from models.training.train import QUIET, Listener, TrainOptions, train_attributes, train_siamese

TABLE, DATA = "comparison.md", "comparison.json"
_BATCH = 64  # of the images/s
_TRIALS = 3


def compare(
    options: TrainOptions,
    trunks: Iterable[str],
    optimisers: Iterable[str],
    pair_epochs: int | None = None,
    listener: Listener = QUIET,
) -> list[dict[str, Any]]:
    """Trains the report's two networks for each trunk with each optimiser, and gives a row each.

    All have the recipe's split, batches and rate, `options.epochs` of attributes and `pair_epochs`
    of pairs. Each row is written to `options.out` as soon as it is there, as a table and as JSON;
    the same command goes on where it was stopped. Raises as `train_attributes` does.
    """
    rows: list[dict[str, Any]] = []
    for trunk, optimiser in product(trunks, optimisers):
        listener.note(f"{trunk}, {optimiser}")
        rows.append(_row(options, trunk, optimiser, pair_epochs, listener))
        write_whole(options.out / DATA, json.dumps(rows, indent=2).encode())
        write_whole(options.out / TABLE, as_markdown(rows).encode())
    return rows


def _row(
    options: TrainOptions, trunk: str, optimiser: str, pair_epochs: int | None, listener: Listener
) -> dict[str, Any]:
    folder = options.out / f"{trunk}-{optimiser}"
    changes = {"trunk": trunk, "optimiser": optimiser}
    first = replace(options, out=folder / "attributes", strangers=None)
    attributes = train_attributes(first, changes, listener)
    assert attributes is not None, "several processes compare nothing"
    second = replace(options, out=folder / "siamese", epochs=pair_epochs, recipe=None)
    siamese = train_siamese(second, attributes[0], {"optimiser": optimiser}, listener)
    assert siamese is not None
    path, header = siamese
    reid, bits = header.metrics["reid"], attributes[1].metrics["attributes"]
    return {
        **changes,
        **_size_and_speed(path, options.device),
        "epochs": attributes[1].recipe["epochs"],
        "pair_epochs": header.recipe["siamese"]["epochs"],
        "accuracy": bits["mean_accuracy"],
        "majority_accuracy": bits["majority_accuracy"],
        "balanced_accuracy": bits["mean_balanced_accuracy"],
        "mAP": reid["mAP"],
        "chance_mAP": reid["chance_mAP"],
        "rank1": reid["rank1"],
        "chance_rank1": reid["chance_rank1"],
    }


def _size_and_speed(path: Path, device: str | None) -> dict[str, Any]:
    """Parameters of both networks, and images/s of both on ready pixels, the best of three."""
    import numpy as np

    from models.extractor import Extractor
    from models.nets.load import parameter_count

    extractor = Extractor(path, device)
    size = extractor.header.preprocessing.height, extractor.header.preprocessing.width
    pixels_NHWC = np.zeros((_BATCH, *size, 3), np.uint8)
    extractor(pixels_NHWC)
    seconds = []
    for _ in range(_TRIALS):
        started = time.perf_counter()
        extractor(pixels_NHWC)
        seconds.append(time.perf_counter() - started)
    return {
        "parameters": parameter_count(extractor.net),
        "images_per_second": round(_BATCH / min(seconds), 1),
    }


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a table, each figure beside what guessing gets."""
    head = (
        "| trunk | optimiser | parameters | images/s | accuracy (majority) | balanced (.5) "
        "| mAP (chance) | rank-1 (chance) |\n|---|---|---|---|---|---|---|---|\n"
    )
    return head + "".join(_line(row) for row in rows)


def _line(row: Mapping[str, Any]) -> str:
    def beside(name: str, guess: str) -> str:
        return f"{row[name]:.4f} ({row[guess]:.4f})"

    cells = (
        row["trunk"],
        row["optimiser"],
        f"{row['parameters'] / 1e6:.1f} M",
        f"{row['images_per_second']:.0f}",
        beside("accuracy", "majority_accuracy"),
        f"{row['balanced_accuracy']:.4f}",
        beside("mAP", "chance_mAP"),
        beside("rank1", "chance_rank1"),
    )
    return f"| {' | '.join(str(cell) for cell in cells)} |\n"
