"""Each camera's own mean in the database: what is stored, what is asked, what is left of whom."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from sqlalchemy import Connection, Engine, text

from db.arrays import vector_from_send
from gallery import centring
from gallery.centre_models import CannotCentre, centre, refresh_due
from gallery.collections import CollectionRow
from gallery.erase import ErasureRequest, erase
from gallery.image_facts import ToldFacts, correct
from gallery.model_rows import ModelRow, model_named
from metrics.centring import ANY, Sums
from query_sets.batch_search import load_gallery
from query_sets.export import reid_test
from query_sets.runs import latest_run, run_set
from query_sets.set_rows import NewImage, NewQuery, add_queries
from search import answering, query_images
from search.answering import MeansChanged, search
from search.exact import answer_one
from search.query_images import EmbeddedImage, as_queries, stored_images
from search.question import Question, Scope
from search.request import SearchRequest
from tests.fakes import (
    Stored,
    collection,
    ingest,
    names,
    register_fake_model,
    store,
    write_pictures,
)

Floats = npt.NDArray[np.float32]


def people(count: int, seed: int) -> tuple[Floats, list[int | None]]:
    """Embeddings of length 1 with a cast by camera, and the cameras: 0, 1 and an unknown one."""
    rng = np.random.default_rng(seed)
    casts = np.random.default_rng(99).normal(size=(3, 512))
    cameras = rng.integers(0, 3, count)
    rows_ND = rng.normal(size=(count, 512)) + casts[cameras]
    rows_ND /= np.linalg.norm(rows_ND, axis=1, keepdims=True)
    return rows_ND.astype(np.float32), [None if c == 2 else int(c) for c in cameras]


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine, max_distance=1.0)


@pytest.fixture
def station(engine: Engine, model: ModelRow) -> CollectionRow:
    """60 images, their embeddings as the network gives them."""
    row = collection(engine, "station")
    rows_ND, camids = people(60, 1)
    with engine.begin() as connection:
        items = [Stored(f"{n:03}.jpg", rows_ND[n], pid=n % 7, camid=camids[n]) for n in range(60)]
        store(connection, model, row, items)
    return row


def embeddings(engine: Engine, collection_id: int) -> dict[str, Floats]:
    """What is stored, by path."""
    stmt = text(
        "SELECT i.path, vector_send(f.embedding) AS bytes FROM feature f"
        " JOIN image i ON i.id = f.image_id WHERE f.collection_id = :id"
    )
    with engine.connect() as connection:
        rows = connection.execute(stmt, {"id": collection_id})
        return {row.path: vector_from_send(row.bytes) for row in rows}


def id_of(engine: Engine, name: str) -> int:
    with engine.connect() as connection:
        return int(
            connection.scalar(text("SELECT id FROM collection WHERE name = :n"), {"n": name})
        )


def expected(rows_ND: Floats, camids: list[int | None], keep: list[int]) -> Floats:
    """The centred embeddings of some rows, by means of them alone."""
    cameras_N = centring.cameras([camids[n] for n in keep])
    sums = Sums()
    sums.add(rows_ND[keep], cameras_N)
    return sums.means().centred(rows_ND[keep], cameras_N)


def test_switched_on_and_off(
    engine: Engine, station: CollectionRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(centring, "_BLOCK", 17)
    rows_ND, camids = people(60, 1)
    before = embeddings(engine, station.id)
    done = centre(engine, "fake", wanted=True)
    assert done == {
        "model": "fake", "centred": True, "images": 60, "max_distance": None,
        "rerank_max_distance": None,
    }  # fmt: skip
    wanted_ND = expected(rows_ND, camids, list(range(60)))
    found = embeddings(engine, station.id)
    assert np.stack([found[path] for path in sorted(found)]) == pytest.approx(wanted_ND, abs=1e-6)
    with engine.connect() as connection:
        again = model_named(connection, "fake")
        revision = connection.scalar(text("SELECT revision FROM collection"))
    assert (again.centred, again.max_distance, again.centring) == (True, None, 1)
    assert revision == station.revision + 1
    assert centre(engine, "fake")["images"] == 60  # made anew: the same
    assert embeddings(engine, station.id)["003.jpg"] == pytest.approx(found["003.jpg"], abs=1e-6)
    off = centre(engine, "fake", wanted=False)
    assert (off["centred"], off["max_distance"]) == (False, 1.0)
    back = embeddings(engine, station.id)
    assert all(back[path] == pytest.approx(before[path], abs=3e-6) for path in before)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM camera_mean")) == 0


def test_what_comes_is_centred_by_the_means_that_are_there(
    engine: Engine, tmp_path: Path, model: ModelRow
) -> None:
    """Copies in another collection by that one's own."""
    ingest(engine, write_pictures(tmp_path / "a", names(24)), "a", model)
    raw = embeddings(engine, id_of(engine, "a"))
    centre(engine, "fake", wanted=True)
    ingest(engine, write_pictures(tmp_path / "b", names(6)), "b", model)  # of the same content
    with engine.connect() as connection:
        assert centring.means_of(connection, model.id, [id_of(engine, "b")]).of_camera == {}
    assert all(
        own == pytest.approx(raw[path], abs=3e-6)
        for path, own in embeddings(engine, id_of(engine, "b")).items()
    )
    late = write_pictures(tmp_path / "late", ["0099_c2_000000099.png"], first_seed=99)
    ingest(engine, late, "a", model)
    with engine.connect() as connection:
        means = centring.means_of(connection, model.id, [id_of(engine, "a")])
        assert set(means.of_camera) == {ANY, 1, 2, 3}
        (image_id,) = connection.scalars(text("SELECT id FROM image WHERE path LIKE '0099%'"))
        raw_D = centring.raw_of(connection, model.id, [image_id])[image_id]
    other = write_pictures(tmp_path / "other", ["x.png"], first_seed=99)
    ingest(engine, other, "c", register_fake_model(engine, "plain"))
    assert raw_D == pytest.approx(embeddings(engine, id_of(engine, "c"))["x.png"], abs=3e-6)
    stored_D = embeddings(engine, id_of(engine, "a"))["0099_c2_000000099.png"]
    wanted_ND = means.centred(raw_D[None], np.array([2]))
    assert stored_D == pytest.approx(wanted_ND[0], abs=1e-6)


def test_means_follow_what_is_stored(
    engine: Engine, model: ModelRow, station: CollectionRow
) -> None:
    centre(engine, "fake", wanted=True)
    assert refresh_due(engine) == 0
    rows_ND, camids = people(200, 2)
    with engine.begin() as connection:
        raw = dict(enumerate(rows_ND))
        items = [Stored(f"new/{n:03}.jpg", rows_ND[n], pid=n, camid=camids[n]) for n in range(200)]
        ids = store(connection, model, station, items)
        centring.centre_again(connection, model.id, {ids[n]: raw[n] for n in raw})
    assert refresh_due(engine) == 1
    assert refresh_due(engine) == 0
    first_ND, first = people(60, 1)
    every_ND, cameras = np.concatenate([first_ND, rows_ND]), [*first, *camids]
    wanted_ND = expected(every_ND, cameras, list(range(260)))
    found = embeddings(engine, station.id)
    in_order = [found[path] for path in sorted(found)]
    assert np.stack(in_order) == pytest.approx(wanted_ND, abs=3e-6)


def test_an_image_of_another_camera_goes_by_that_one(
    engine: Engine, model: ModelRow, station: CollectionRow
) -> None:
    centre(engine, "fake", wanted=True)
    rows_ND, camids = people(60, 1)
    moved = camids.index(0)
    told = ToldFacts(f"{moved:03}.jpg", None, frozenset({"camid"}), None, 1, None)
    with engine.begin() as connection:
        assert correct(connection, station.id, [told]) == 1
        means = centring.means_of(connection, model.id, [station.id])
    wanted_ND = means.centred(rows_ND[moved][None], np.array([1]))
    found_D = embeddings(engine, station.id)[f"{moved:03}.jpg"]
    assert found_D == pytest.approx(wanted_ND[0], abs=3e-6)


def test_no_mean_holds_a_trace_of_whom_was_erased(engine: Engine, station: CollectionRow) -> None:
    centre(engine, "fake", wanted=True)
    erase(engine, ErasureRequest(collections=("station",), pid=3), quick=True)
    rows_ND, camids = people(60, 1)
    left = [n for n in range(60) if n % 7 != 3]
    wanted_ND = expected(rows_ND, camids, left)
    found = embeddings(engine, station.id)
    assert sorted(found) == [f"{n:03}.jpg" for n in left]
    assert np.stack([found[path] for path in sorted(found)]) == pytest.approx(wanted_ND, abs=3e-6)
    with engine.connect() as connection:
        assert not connection.scalar(text("SELECT bool_or(stale) FROM camera_mean"))
        assert connection.scalar(text("SELECT images FROM camera_mean WHERE camid = -1")) == 51


def sent(embedding_D: Floats, name: str, camid: int | None) -> EmbeddedImage:
    """An image that nobody has stored."""
    return EmbeddedImage(name, name.encode(), b"jpeg", embedding_D, None, None, camid, "default")


@pytest.mark.parametrize("camid", [0, 1, 7, None])
def test_a_set_is_compared_as_a_search_is(
    engine: Engine, station: CollectionRow, camid: int | None
) -> None:
    """A file by its camera's mean, by the collection's where that camera is not known to it; a
    stored image as it is stored."""
    centre(engine, "fake", wanted=True)
    query_D = people(1, 5)[0][0]
    with engine.connect() as connection:
        model = model_named(connection, "fake")
        means = centring.means_of(connection, model.id, [station.id])
    own = stored_images(engine, model, [5])[0][0]
    scope, question = Scope(model, (station,)), Question(limit=60)
    with engine.begin() as connection:
        file, kept = as_queries(
            connection, model, [station.id], [sent(query_D, "q.jpg", camid), own]
        )
        wanted_D = means.centred(query_D[None], centring.cameras([camid]))[0]
        assert (file.embedding_D == wanted_D).all()
        assert (kept.embedding_D == own.embedding_D).all()
        queries = [
            NewQuery("q.jpg", (NewImage(b"q", b"jpeg", query_D, None),), None, camid),
            NewQuery("own.jpg", (NewImage(b"o", b"jpeg", own.embedding_D, own.image_id),), 1, 1),
        ]
        add_queries(
            connection, "set", model, [station], question, auto_distance=False, queries=queries
        )
    centre(engine, "fake")  # the means are made anew: the set follows
    with engine.begin() as connection:
        model = model_named(connection, "fake")
        own = stored_images(engine, model, [5])[0][0]
        pair = [sent(query_D, "q.jpg", camid), own]
        people_ = as_queries(connection, model, [station.id], pair)
        run_set(connection, "set", model)
        exported = reid_test(connection, latest_run(connection, "set")).text.splitlines()
    with engine.connect() as connection:
        for line, query in zip(sorted(exported, reverse=True), people_, strict=True):
            answer = answer_one(connection, scope, question, query)
            paths = ", ".join(match.path for match in answer.matches)
            assert line.partition(": ")[2] == paths


@pytest.mark.usefixtures("station")
def test_an_answer_is_of_one_centring(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    centre(engine, "fake", wanted=True)
    request = SearchRequest(("station",), image_ids=(5,))
    assert len(search(engine, request).answers) == 1
    read = query_images.images_of

    def read_then_centre(
        connection: Connection, model: ModelRow, image_ids: tuple[int, ...]
    ) -> list[EmbeddedImage]:
        found = read(connection, model, image_ids)
        centre(engine, "fake")
        return found

    monkeypatch.setattr(answering, "images_of", read_then_centre)
    with pytest.raises(MeansChanged) as caught:
        search(engine, request)
    assert str(caught.value) == (
        "the embeddings of model 'fake' were centred anew meanwhile; search again"
    )


def test_galleries_and_evaluations_read_what_is_compared(
    engine: Engine, station: CollectionRow
) -> None:
    centre(engine, "fake", wanted=True)
    with engine.connect() as connection:
        model = model_named(connection, "fake")
        gallery = load_gallery(connection, Scope(model, (station,)), Question())
    found = embeddings(engine, station.id)
    assert (gallery.embeddings_GD == np.stack([found[path] for path in sorted(found)])).all()


def test_only_embeddings_of_length_1_are_centred(engine: Engine) -> None:
    register_fake_model(engine)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE model SET header = jsonb_set(header, '{normalised}', 'false')")
        )
    with pytest.raises(CannotCentre) as caught:
        centre(engine, "fake", wanted=True)
    assert str(caught.value) == (
        "the embeddings of model 'fake' have any length; only those of length 1 can be centred"
    )
