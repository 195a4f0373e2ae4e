"""The core ways of the program, and what comes of them: to be compared between databases."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import text

from db import audit_log
from db.connect import DatabaseAddress, make_engine
from gallery import erase
from query_sets import queries, sets
from search.answering import search
from search.request import SearchRequest
from tests.fakes import everything_stored, ingest, names, register_fake_model

NOWHERE = Path("/nowhere")


def core(url: str, folder: Path) -> dict[str, Any]:
    """What the ways of the program give: ingest, search, stored queries, exports, erasure."""
    engine = make_engine(DatabaseAddress(NOWHERE, url))
    model = register_fake_model(engine, max_distance=1.0)
    ingest(engine, folder, "g", model)
    stored = everything_stored(engine)
    asked = SearchRequest(("g",), where="not hat and camera != 2", max_distance="1.5", limit=9)
    everybody = tuple((path.name, str(path)) for path in sorted(folder.rglob("*.png")))
    with engine.connect() as connection:
        first = connection.scalar(text("SELECT id FROM image ORDER BY path LIMIT 1"))
    found = search(engine, replace(asked, files=everybody[:3], image_ids=(first,)))
    queries.add(engine, "s", asked, [folder / name for name in names(4)])
    queries.run(engine, "s", None, "a test")
    lines = sets.export_reid_test(engine, "s", None).text
    log = io.StringIO()
    audit_log.export(engine, log, "csv", "log")
    erase.erase(engine, erase.ErasureRequest((first,)), quick=True)
    again, progress = ingest(engine, folder, "g", model)
    with engine.connect() as connection:
        hashes = connection.scalars(
            text("SELECT octet_length(content_hash) FROM image ORDER BY 1")
        ).all()
        counted = connection.scalar(text("SELECT sum(images) FROM gallery_count"))
        buried = connection.scalars(text("SELECT octet_length(content_hash) FROM tombstone")).all()
    newest = audit_log.newest(engine, 50, None, None, None)
    left = everything_stored(engine)
    engine.dispose()
    return {
        "stored": stored,
        "found": [
            [(match.path, match.distance) for match in answer.matches] for answer in found.answers
        ],
        "lines": lines,
        "log": [line.split(",")[3:5] for line in log.getvalue().splitlines()],
        "again": (again.pending, progress.stored, progress.failed),
        "hashes": hashes,
        "counted": counted,
        "buried": buried,
        "left": left,
        "zones": {row["at"].utcoffset().total_seconds() for row in newest},
        "actions": [row["action"] for row in newest],
    }
