"""Which model is active, also where several commands decide it at once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from sqlalchemy import Engine

from gallery.model_rows import all_models
from gallery.models import activate
from tests.fakes import register_fake_model

AT_ONCE = 4


def test_one_model_is_active_after_many_were_activated_at_once(engine: Engine) -> None:
    names = [f"m{n}" for n in range(AT_ONCE)]
    for name in names:
        register_fake_model(engine, name)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for _ in range(5):
            start = Barrier(AT_ONCE)

            def one(name: str, start: Barrier = start) -> str:
                start.wait()
                return activate(engine, name).name

            assert list(threads.map(one, names)) == names
            with engine.connect() as connection:
                assert sum(model.active for model in all_models(connection)) == 1
