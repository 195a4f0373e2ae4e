"""The curves of a run, as TensorBoard reads them; without the package there are none."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from images.preprocessing import Pixels

FOLDER = "tensorboard"
MISSING = "tensorboard is not installed: no curves are written; `pip install tensorboard` brings it"


class TrainingLog:
    """Event files in `folder/tensorboard`, by the number of the step.

    What a killed run wrote from `step` on is dropped, since those steps are done again.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._writer: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._writer = SummaryWriter(str(folder / FOLDER), purge_step=step)

    @property
    def writes(self) -> bool:
        return self._writer is not None

    def numbers(self, group: str, values: Mapping[str, float], step: int) -> None:
        """One point on the curve `group/name` of each value."""
        if self._writer:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)

    def picture(self, name: str, pixels_HWC: Pixels, step: int) -> None:
        if self._writer:
            self._writer.add_image(name, pixels_HWC, step, dataformats="HWC")

    def flush(self) -> None:
        if self._writer:
            self._writer.flush()

    def close(self) -> None:
        if self._writer:
            self._writer.close()
