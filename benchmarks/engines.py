"""The same network by several engines and number formats: milliseconds of CPU an image, what
changes in its answers, and whether that matters for a search. One thread, turn by turn in one run.

OMP_NUM_THREADS=1 .venv/bin/python benchmarks/engines.py FOLDER --calibrate FOLDER
    --people SET.csv --people SET.csv

`FOLDER` has crops to be quick on. `--people` is a table of `file,person,camera,extra` beside the
folder of its images: mAP and rank-1 are of all images as queries, without those of the same person
and camera. `--calibrate` has crops whose values set the scales of 8-bit numbers.
"""

import argparse
import csv
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from images.preprocessing import Pixels  # noqa: E402
from inference.engines import load_with_torch  # noqa: E402
from inference.openvino_engine import OpenVinoNetwork  # noqa: E402
from inference.ready import ready_form  # noqa: E402
from metrics.distances import l2_distances  # noqa: E402
from metrics.reid import evaluate_distmat  # noqa: E402
from models.checkpoint import Header, read_header  # noqa: E402
from models.outputs import FloatRows, Outputs  # noqa: E402

Run = Callable[[Pixels], Outputs]
_CROPS = 256
_CALIBRATION = 128


@dataclass(frozen=True)
class People:
    """Images with known people. `pixels` is (N, H, W, 3)."""

    name: str
    pixels_NHWC: Pixels
    pids_N: "np.ndarray[tuple[int], np.dtype[np.int64]]"
    camids_N: "np.ndarray[tuple[int], np.dtype[np.int64]]"


def read(files: list[Path], header: Header) -> Pixels:
    return np.stack([header.preprocessing.resize(Image.open(f).convert("RGB")) for f in files])


def people(table: Path, header: Header, most: int) -> People:
    """The first `most` people of a table; where no camera is known, the track counts as one."""
    rows = list(csv.DictReader(table.open()))
    known = sorted({int(row["person"]) for row in rows})[:most]
    rows = [row for row in rows if int(row["person"]) in known]
    folder = table.with_suffix("")
    seen = [row["extra"] if row["camera"] in ("", "0") else row["camera"] for row in rows]
    return People(
        table.stem,
        read([folder / row["file"] for row in rows], header),
        np.array([int(row["person"]) for row in rows]),
        np.unique(seen, return_inverse=True)[1],
    )


def onnx_runtime(model: bytes | Path) -> Run:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    given = model if isinstance(model, bytes) else str(model)
    session = ort.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    return lambda pixels: Outputs(*session.run(None, {"pixels": pixels}))


def openvino(model: bytes, precision: str) -> Run:
    import openvino as ov

    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
    core = ov.Core()
    compiled = core.compile_model(core.read_model(model), "CPU", options)
    return lambda pixels: Outputs(*(np.array(part) for part in compiled(pixels).values()))


def torch_bf16(checkpoint: Path) -> Run:
    import torch

    network = load_with_torch(checkpoint, "cpu")

    def run(pixels_NHWC: Pixels) -> Outputs:
        with torch.autocast("cpu", torch.bfloat16):
            return network(pixels_NHWC)

    return run


def eight_bits(model: bytes, crops: Pixels, folder: Path) -> Path:
    """The model with 8-bit convolutions, scales for each channel, calibrated on crops."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Crops(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            starts = range(0, len(crops), 16)
            self._batches = iter([{"pixels": crops[start : start + 16]} for start in starts])

        def get_next(self) -> dict[str, Pixels] | None:
            return next(self._batches, None)

    (folder / "f32.onnx").write_bytes(model)
    quantize_static(
        folder / "f32.onnx",
        folder / "int8.onnx",
        Crops(),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv", "Add"],
    )
    return folder / "int8.onnx"


def engines(checkpoint: Path, calibrate: Pixels, folder: Path) -> Iterator[tuple[str, Run]]:
    ready = ready_form(checkpoint, read_header(checkpoint)).content
    yield "torch f32", load_with_torch(checkpoint, "cpu")
    yield "torch bf16 (autocast)", torch_bf16(checkpoint)
    yield "ONNX Runtime f32", onnx_runtime(ready)
    yield "OpenVINO f32", openvino(ready, "f32")
    yield "OpenVINO f16", openvino(ready, "f16")
    yield "OpenVINO bf16 throughout", openvino(ready, "bf16")
    yield "OpenVINO bf16, as shipped", OpenVinoNetwork(checkpoint, read_header(checkpoint))
    small = eight_bits(ready, calibrate, folder)
    yield "ONNX Runtime int8", onnx_runtime(small)
    yield "OpenVINO int8", openvino(small.read_bytes(), "f32")
    yield "OpenVINO int8, the rest bf16", openvino(small.read_bytes(), "bf16")


def speed(ways: dict[str, Run], crops: Pixels, sizes: list[int], turns: int) -> None:
    """Milliseconds of CPU an image, medians over turns."""
    print(f"\nms of CPU an image by batch size; load {os.getloadavg()[0]:.1f}")
    print(f"{'':32}" + "".join(f"{size:>8}" for size in sizes))
    found: dict[tuple[str, int], list[float]] = {}
    for run in ways.values():
        for size in sizes:
            run(crops[:size])
    for _ in range(turns):
        for name, run in ways.items():
            for size in sizes:
                count = max(1, 64 // size)
                began = time.process_time()
                for _ in range(count):
                    run(crops[:size])
                spent = 1000 * (time.process_time() - began) / (size * count)
                found.setdefault((name, size), []).append(spent)
    for name in ways:
        print(f"{name:32}" + "".join(f"{median(found[name, size]):8.1f}" for size in sizes))


def outputs(run: Run, pixels: Pixels) -> Outputs:
    parts = [run(pixels[start : start + 64]) for start in range(0, len(pixels), 64)]
    return Outputs(*(np.concatenate(rows) for rows in zip(*parts, strict=True)))


def quality(queries_ND: FloatRows, gallery_ND: FloatRows, of: People) -> str:
    distances = l2_distances(queries_ND, gallery_ND)
    np.fill_diagonal(distances, np.inf)
    found = evaluate_distmat(distances, of.pids_N, of.pids_N, of.camids_N, of.camids_N)
    return f"{found.mAP:.4f} / {found.rank1:.4f}"


def answers(ways: dict[str, Run], of: People) -> None:
    """What each engine's numbers are worth beside those of torch in 32 bits, the first."""
    print(f"\n{of.name}: {len(of.pids_N):,} images of {len(set(of.pids_N.tolist()))} people")
    print(f"{'':32}{'embedding moved, mean, most':>30}{'score, most':>13}{'mAP / rank-1':>18}"
          f"{'in a 32-bit gallery':>21}")  # fmt: skip
    first: Outputs | None = None
    for name, run in ways.items():
        found = outputs(run, of.pixels_NHWC)
        first = first or found
        moved = np.linalg.norm(found.embeddings_ND - first.embeddings_ND, axis=1)
        score = float(np.abs(found.scores_NA - first.scores_NA).max())
        own = quality(found.embeddings_ND, found.embeddings_ND, of)
        mixed = quality(found.embeddings_ND, first.embeddings_ND, of)
        print(f"{name:32}{moved.mean():>22.2g}{moved.max():>8.2g}{score:>13.2g}{own:>18}{mixed:>21}",
              flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--calibrate", type=Path, required=True)
    parser.add_argument("--people", type=Path, action="append", default=[])
    parser.add_argument("--most", type=int, default=10_000, help="people of each table")
    parser.add_argument("--batch", type=int, action="append")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", action="append", help="an engine, by its name in the table")
    shipped = ROOT / "models" / "weights" / "default.safetensors"
    parser.add_argument("--checkpoint", type=Path, default=shipped)
    given = parser.parse_args()
    header = read_header(given.checkpoint)
    crops = read(sorted(given.folder.glob("*.jpg"))[:_CROPS], header)
    other = sorted(given.calibrate.glob("*.jpg"))
    calibrate = read(other[:: max(1, len(other) // _CALIBRATION)][:_CALIBRATION], header)
    with tempfile.TemporaryDirectory() as folder:
        ways = dict(engines(given.checkpoint, calibrate, Path(folder)))
        if given.only:
            ways = {name: run for name, run in ways.items() if name in given.only}
        speed(ways, crops, given.batch or [1, 4, 16, 64], given.turns)
        for table in given.people:
            answers(ways, people(table, header, given.most))


if __name__ == "__main__":
    main()
