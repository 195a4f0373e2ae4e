"""Bodies: JSON, or a form with files; each within the limits of size and time."""

import asyncio
from dataclasses import dataclass
from typing import Any, TypeVar, get_origin

from fastapi import Request
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from starlette.datastructures import UploadFile

from gallery.sent_images import Upload
from web.api.requests import MAX_IMAGES
from web.uploads import MAX_SECONDS, UnsupportedContent, UploadTooSlow, file_name

IMAGE = "image"  # the form's field for files
_MAX_FIELDS = 300
Asked = TypeVar("Asked", bound=BaseModel)


@dataclass(frozen=True)
class Sent:
    """A body: JSON as its bytes, or the fields of a form and its files."""

    json: bytes | None
    fields: tuple[tuple[str, str], ...] = ()
    files: tuple[Upload, ...] = ()

    def as_a(self, kind: type[Asked]) -> Asked:
        """Checked: JSON by its types, a form's texts by what they read as. Raises
        ValidationError."""
        if self.json is not None:
            return kind.model_validate_json(self.json, strict=True)
        values: dict[str, Any] = {}
        for name, value in self.fields:
            if name in kind.model_fields and _is_list(kind.model_fields[name]):
                values.setdefault(name, []).append(value)
            else:
                values[name] = value
        return kind.model_validate(values)


def _is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is list


async def sent(request: Request) -> Sent:
    """Raises UnsupportedContent, UploadTooSlow, UploadTooLarge."""
    try:
        async with asyncio.timeout(MAX_SECONDS):
            return await _read(request)
    except TimeoutError:
        raise UploadTooSlow from None


async def sent_form(request: Request) -> Sent:
    """A form alone, for what needs a file."""
    if _kind(request) != "multipart/form-data":
        raise UnsupportedContent(f"send multipart/form-data, not {_kind(request)!r}")
    return await sent(request)


async def _read(request: Request) -> Sent:
    kind = _kind(request)
    if kind == "application/json":
        return Sent(await request.body())
    if kind != "multipart/form-data":
        raise UnsupportedContent(f"send application/json or multipart/form-data, not {kind!r}")
    async with request.form(max_files=MAX_IMAGES, max_fields=_MAX_FIELDS) as form:
        fields, files = [], []
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                files.append((name, Upload(file_name(value.filename), await value.read())))
            else:
                fields.append((name, value))
    # a file under another name is as wrong as any unknown field
    fields += [(name, "") for name, _ in files if name != IMAGE]
    return Sent(None, tuple(fields), tuple(file for name, file in files if name == IMAGE))


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
