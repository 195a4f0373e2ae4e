"""The checkpoint that comes with the program."""

from pathlib import Path

_SHIPPED = Path(__file__).resolve().parent / "weights"


def shipped_checkpoint() -> Path:
    """The default model's file, which comes with the program."""
    return _SHIPPED / "default.safetensors"
