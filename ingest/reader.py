"""A claimed file becomes bytes, a hash, pixels - or a reason why not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from errors import ReidError
from gallery.manifest import Claim
from gallery.store import Failure, ReadImage
from images.decode import UnreadableImage, content_hash, read_file
from images.decoder_pool import Decoders
from images.decoder_process import Crop, Encoded, crop
from images.preprocessing import Pixels, Preprocessing
from images.sources.open import is_folder, opened
from images.walk import file_path

_CHUNK = 8
_CHUNK_BYTES = 4 * 2**20

Ready = tuple[ReadImage, Pixels]  # an image's row, and what the network looks at


@dataclass(frozen=True)
class FileBytes:
    """A file that was read once."""

    claim: Claim
    data: bytes
    content_hash: bytes


def read(claim: Claim) -> FileBytes | Failure:
    """Reads the file of a claim from its source, as this machine reaches it."""
    try:
        data = bytes_of(claim.source, claim.path, claim.path_raw, claim.mtime_ns)
    except UnreadableImage as error:
        return Failure(claim.image_id, str(error), error.kind)
    except ReidError as error:
        return Failure(claim.image_id, f"cannot be read: {error}", "no file")
    return FileBytes(claim, data, content_hash(data))


def bytes_of(source: str, path: str, path_raw: bytes | None, mtime_ns: int | None) -> bytes:
    """One registered file's bytes, from its source as this machine reaches it.

    Raises UnreadableImage, and a ReidError where the source cannot be opened.
    """
    if is_folder(source):
        return read_file(file_path(source, path, path_raw))
    return opened(source).read((path, path_raw), mtime_ns)


def encoded(file: FileBytes) -> Encoded:
    """What a decoder is asked."""
    return Encoded(file.data, file.claim.allow_any_shape)


def outcome_of(file: FileBytes, found: Crop | UnreadableImage) -> Ready | Failure:
    """What a decoder's answer means for the file."""
    if isinstance(found, UnreadableImage):
        return Failure(file.claim.image_id, str(found), found.kind)
    image = ReadImage(
        image_id=file.claim.image_id,
        collection_id=file.claim.collection_id,
        camid=file.claim.camid,
        content_hash=file.content_hash,
        width=found.width,
        height=found.height,
        thumbnail=found.thumbnail,
    )
    return image, found.pixels


def to_pixels(file: FileBytes, preprocessing: Preprocessing) -> Ready | Failure:
    """Decodes a file in this process, and stretches it for a network."""
    try:
        return outcome_of(file, crop(encoded(file), preprocessing))
    except UnreadableImage as error:
        return outcome_of(file, error)


def chunks(files: Sequence[FileBytes]) -> Iterator[list[FileBytes]]:
    """Files as a decoder is asked about them at once: some, and never many bytes."""
    chunk: list[FileBytes] = []
    for file in files:
        chunk.append(file)
        if len(chunk) == _CHUNK or sum(len(part.data) for part in chunk) > _CHUNK_BYTES:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def decode_guarded(
    files: Sequence[FileBytes], preprocessing: Preprocessing, decoders: Decoders
) -> list[Ready | Failure]:
    """Decodes files in another process, which may crash or hang."""
    found = decoders.decode([encoded(file) for file in files], preprocessing)
    return [outcome_of(file, crop) for file, crop in zip(files, found, strict=True)]
