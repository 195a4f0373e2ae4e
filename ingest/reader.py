"""A claimed file becomes bytes, a hash, pixels - or a reason why not."""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from db.manifest import Claim
from db.store import ReadImage
from images.decode import Decoded, UnreadableImage, content_hash, decode, read_file
from images.walk import file_path
from models.transforms import Pixels


@dataclass(frozen=True)
class FileBytes:
    """A file that was read once."""

    claim: Claim
    data: bytes
    content_hash: bytes


@dataclass(frozen=True)
class Failure:
    image_id: int
    reason: str


def read(claim: Claim) -> FileBytes | Failure:
    """Reads the file of a claim from this machine's disk."""
    try:
        data = read_file(file_path(claim.source, claim.path, claim.path_raw))
    except UnreadableImage as error:
        return Failure(claim.image_id, str(error))
    return FileBytes(claim, data, content_hash(data))


def to_pixels(
    file: FileBytes, pixels_of: Callable[[Image.Image], Pixels]
) -> tuple[ReadImage, Pixels] | Failure:
    """Decodes a file and resizes it for the network."""
    try:
        decoded = decode(file.data, any_shape=file.claim.allow_any_shape)
    except UnreadableImage as error:
        return Failure(file.claim.image_id, str(error))
    return read_image(file, decoded), pixels_of(decoded.image)


def read_image(file: FileBytes, decoded: Decoded) -> ReadImage:
    """The row that reading gives."""
    return ReadImage(
        image_id=file.claim.image_id,
        collection_id=file.claim.collection_id,
        camid=file.claim.camid,
        content_hash=file.content_hash,
        width=decoded.width,
        height=decoded.height,
        thumbnail=decoded.thumbnail,
    )
