"""The examples in docstrings are true."""

import doctest
import importlib
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
WITH_EXAMPLES = [
    path.relative_to(ROOT).with_suffix("")
    for path in (
        *(ROOT / f"{name}.py" for name in SETUPTOOLS["py-modules"]),
        *(
            p
            for name in SETUPTOOLS["packages"]
            for p in sorted((ROOT / name.replace(".", "/")).glob("*.py"))
        ),
    )
    if ">>> " in path.read_text()
]


@pytest.mark.parametrize("module", WITH_EXAMPLES, ids=str)
def test_examples(module: Path) -> None:
    result = doctest.testmod(importlib.import_module(".".join(module.parts)))
    assert result.attempted > 0
    assert result.failed == 0


def test_some_module_has_examples() -> None:
    assert WITH_EXAMPLES
