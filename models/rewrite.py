"""A checkpoint with another header: its numbers stay as they are, torch is not needed."""

import json
from pathlib import Path

from models.checkpoint import Header, read_header, to_metadata

_ALIGNMENT = 8  # safetensors pads its header, so that the numbers begin at a multiple


def with_header(path: Path, header: Header) -> bytes:
    """The whole file with `header` in place of its own. Raises BadCheckpoint."""
    read_header(path)
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    document = json.loads(content[8:end])
    document["__metadata__"] = {**document["__metadata__"], **to_metadata(header)}
    text = json.dumps(document, ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text + content[end:]
