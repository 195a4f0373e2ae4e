"""Single modules of torchreid, by their files: importing the package would load all it has."""

import importlib.metadata
import importlib.util
import warnings
from types import ModuleType
from unittest import mock


def torchreids(name: str) -> ModuleType:
    """The module at the end of this path in the installed package, such as `metrics/rank.py`."""
    files = importlib.metadata.files("torchreid") or []
    file = next(file for file in files if file.as_posix().endswith(name))
    spec = importlib.util.spec_from_file_location("torchreids", file.locate())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # what it would import of its own package are compiled twins of its functions, with a warning
    with mock.patch.dict("sys.modules", {"torchreid": None}), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(module)
    return module
