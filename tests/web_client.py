"""A browser without a screen, a network of three numbers, and a small gallery to look at."""

import asyncio
import io
import re
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image
from sqlalchemy import Engine, text

from images.preprocessing import Pixels, Preprocessing
from ingest.options import Options
from ingest.run import ingest
from models.outputs import Outputs
from vocabulary import NAMES
from web.app import create_app

GENDER = NAMES.index("gender-1")
RED, REDDISH, GREEN, BLUE = (200, 20, 20), (190, 40, 30), (20, 200, 20), (20, 20, 200)
SHADES = {
    "0001_c1_000000001.jpg": RED,
    "0001_c2_000000002.jpg": REDDISH,
    "0002_c1_000000003.jpg": GREEN,
    "0003_c3_000000004.jpg": BLUE,
}
HOSTILE = "<script>alert('name')</script>"


class Client:
    """A browser without a screen: it keeps cookies, and follows no redirect unasked."""

    def __init__(self, app: FastAPI, base: str = "http://localhost:8000") -> None:
        self.app = app
        self.base = base
        self.cookies = httpx.Cookies()

    def send(self, method: str, url: str, **options: Any) -> httpx.Response:
        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(
                transport=transport, base_url=self.base, cookies=self.cookies
            ) as client:
                response = await client.request(method, url, **options)
                self.cookies = client.cookies
                return response

        return asyncio.run(go())

    def get(self, url: str, **options: Any) -> httpx.Response:
        return self.send("GET", url, **options)

    def post(self, url: str, **options: Any) -> httpx.Response:
        return self.send("POST", url, **options)


class ColourNetwork:
    """The mean colour is the embedding; red people are women, all others men."""

    name = "fake"
    preprocessing = Preprocessing(8, 4)

    def pixels_of(self, image: Image.Image) -> Pixels:
        return self.preprocessing.resize(image)

    def __call__(self, pixels_NHWC: Pixels) -> Outputs:
        colours = pixels_NHWC.mean((1, 2)) / 255
        embeddings_ND = np.zeros((len(colours), 512), np.float32)
        embeddings_ND[:, :3] = colours
        scores_NA = np.full((len(colours), 56), 0.5, np.float32)
        woman = colours[:, 0] > 0.5
        scores_NA[:, GENDER], scores_NA[:, GENDER + 1] = 1 - woman, woman
        return Outputs(scores_NA, embeddings_ND)


def jpeg(colour: tuple[int, int, int], size: tuple[int, int] = (32, 64)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "JPEG", quality=95)
    return out.getvalue()


def fake_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Puts the fake network in place of the real one; what was loaded is listed, in order."""
    loaded: list[str] = []

    def load(model: Any, _device: str | None) -> ColourNetwork:
        loaded.append(model.name)
        return ColourNetwork()

    for module in ("ingest.run", "search.query_images", "search.networks"):
        monkeypatch.setattr(f"{module}.load_network", load)
    return loaded


def store(engine: Engine, folder: Path, collection: str, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    ingest(engine, folder, collection, Options())


def page_of_four(engine: Engine, folder: Path) -> Client:
    """A page over one gallery of four images of three people."""
    store(engine, folder, "gallery", {name: jpeg(colour) for name, colour in SHADES.items()})
    return Client(create_app(engine, token=None))


def ask(page: Client, image: bytes | None = None, name: str = "who.jpg", **fields: Any) -> str:
    """Posts the form as a browser does; the text of the page that one ends on."""
    fields = {"collection": "gallery", **fields}
    files = {"image": (name, image, "image/jpeg")} if image else {"image": ("", b"")}
    response = page.post("/search", data=fields, files=files)
    if response.status_code == 303:
        response = page.get(response.headers["location"])
    return response.text


def ranked(body: str) -> list[str]:
    """The gallery paths in order."""
    return [unescape(path) for path in re.findall(r"<dt>path</dt><dd><bdi>([^<]*)", body)]


def alert(body: str) -> str:
    found = re.search(r'role="alert"[^>]*>(.*?)</div>', body, re.S)
    assert found, body
    return " ".join(unescape(re.sub(r"<[^>]+>", "", found[1])).split())


def image_ids(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {row.path: row.id for row in connection.execute(text("SELECT path, id FROM image"))}
