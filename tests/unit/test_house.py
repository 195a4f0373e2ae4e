"""What keeps the house in order: names, packaging, imports, and what may lie in the repository."""

import ast
import fnmatch
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
PACKAGES: list[str] = SETUPTOOLS["packages"]
MODULES: list[str] = SETUPTOOLS["py-modules"]
TOP_LEVEL = sorted({name.split(".")[0] for name in PACKAGES})
MAX_LINES = 400
KNOW_TORCH = {"commands", "ingest", "migrations", "models", "web"}  # or import what does
PICTURES = {".jpg", ".jpeg", ".jpe", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".heic"}

# written in two parts, so that this file does not hold what it forbids
PLACES = [
    first + second
    for first, second in (
        ("pypi.org", "/simple"),
        ("files.python", "hosted.org"),
        ("download.py", "torch.org"),
        ("gh", "cr.io"),
        ("--index", "-url"),
        ("--find", "-links"),
        ("file:", "///opt"),
        ("/wo", "rk/"),
        ("/ro", "ot/"),
        ("/opt", "/wheels"),
        ("/opt", "/pypi"),
    )
]


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)


def repository_files() -> list[Path]:
    """Every file that is tracked, or would be with `git add .`."""
    if shutil.which("git") is None:
        pytest.skip("no git here")
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    if listed.returncode:
        pytest.skip("no git repository here")
    names = [name for name in listed.stdout.split("\0") if name]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def in_fresh_python(code: str) -> str:
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- names and packaging


@pytest.mark.parametrize("name", [*TOP_LEVEL, *MODULES])
def test_each_import_name_is_this_project_alone(name: str) -> None:
    owners = set(importlib.metadata.packages_distributions().get(name, []))
    assert owners == {"reid-search"}, (
        f"`import {name}` belongs to {sorted(owners) or 'nobody'}, expected reid-search alone; "
        "install it into an environment of its own with `make install`"
    )


def test_every_package_folder_is_listed() -> None:
    found = {
        str(path.parent.relative_to(ROOT)).replace("/", ".")
        for path in ROOT.glob("[a-z]*/**/__init__.py")
        if path.relative_to(ROOT).parts[0] not in {"build", "demo", "tests"}
    }
    assert found == set(PACKAGES), "list each package in pyproject.toml, and only those"


def test_folders_with_modules_are_packages() -> None:
    for name in TOP_LEVEL:
        for module in (ROOT / name).rglob("*.py"):
            assert (module.parent / "__init__.py").exists(), f"{module.parent} has no __init__.py"


@pytest.mark.parametrize("package", PACKAGES)
def test_package_init_files_are_empty(package: str) -> None:
    init = ROOT / package.replace(".", "/") / "__init__.py"
    assert init.read_text() == "", "an import hidden here escapes the import contracts"


def test_no_test_folder_is_named_after_a_package() -> None:
    folders = {path.name for path in (ROOT / "tests").rglob("*") if path.is_dir()}
    assert not folders & {*TOP_LEVEL, *MODULES}


def test_files_beside_the_modules_are_installed_with_them() -> None:
    data: dict[str, list[str]] = SETUPTOOLS["package-data"]
    generated = {"__pycache__", "versions"}
    for path in repository_files():
        parts = path.relative_to(ROOT).parts
        if parts[0] not in TOP_LEVEL or path.suffix == ".py" or generated & set(parts):
            continue
        if parts == ("migrations", "script.py.mako"):
            continue  # for writing migrations, in a clone only
        fits = any(
            fnmatch.fnmatch("/".join(parts), f"{package.replace('.', '/')}/{pattern}")
            for package, patterns in data.items()
            for pattern in patterns
        )
        assert fits, f"{path.relative_to(ROOT)} is not in pyproject.toml's package-data"


def test_the_installed_version_is_the_declared_one() -> None:
    installed = importlib.metadata.version("reid-search")
    assert installed == PROJECT["project"]["version"], "run `make install`"


# --- the exact set that CI tested


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pin) == 2 for pin in pins), "expected NAME==VERSION and nothing else"
    return {canonicalize_name(name): version for name, version in pins}


def declared() -> list[Requirement]:
    project = PROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return [Requirement(line) for group in groups for line in group]


@pytest.mark.parametrize("requirement", declared(), ids=lambda requirement: requirement.name)
def test_constraints_lie_within_the_declared_bounds(requirement: Requirement) -> None:
    pinned = constraints().get(canonicalize_name(requirement.name))
    assert pinned is not None, f"constraints.txt does not pin {requirement.name}"
    assert requirement.specifier.contains(pinned), f"{requirement} is pinned to {pinned}"


def test_each_dependency_is_declared_once() -> None:
    names = [canonicalize_name(requirement.name) for requirement in declared()]
    assert sorted(names) == sorted(set(names))


# --- who imports whom


def test_import_contracts_hold() -> None:
    done = run(str(Path(sys.executable).parent / "lint-imports"), "--no-cache")
    assert done.returncode == 0, done.stdout + done.stderr


def imported_names(path: Path) -> set[str]:
    """The first words of every import in a file, also of those inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_reading_text_needs_nothing_but_errors() -> None:
    assert imported_names(ROOT / "files.py") <= {"errors", *sys.stdlib_module_names}


@pytest.mark.parametrize("name", ["errors", "settings", "vocabulary"])
def test_what_everybody_imports_needs_the_standard_library_only(name: str) -> None:
    assert imported_names(ROOT / f"{name}.py") <= sys.stdlib_module_names


def test_the_environment_is_read_in_one_place() -> None:
    """`cli.py` sets what its options say; a command's own option may name its variable to click."""
    reads = re.compile(r"""(environ\.get\(|environ\[|getenv\()f?["']REID_(?![A-Z_]+"\] = )""")
    found = [
        str(path.relative_to(ROOT))
        for path in [*product_modules(), ROOT / "cli.py"]
        if reads.search(path.read_text())
    ]
    assert found == []


def test_the_command_line_knows_no_torch() -> None:
    assert not imported_names(ROOT / "cli.py") & {"torch", "torchvision", "safetensors", "models"}


def test_rooms_without_torch_load_none() -> None:
    loaded = in_fresh_python(
        "import importlib, pkgutil, sys\n"
        f"for room in {[room for room in TOP_LEVEL if room not in KNOW_TORCH]}:\n"
        "    package = importlib.import_module(room)\n"
        "    for module in pkgutil.walk_packages(package.__path__, f'{room}.'):\n"
        "        importlib.import_module(module.name)\n"
        "        heavy = {'torch', 'torchvision', 'safetensors'} & set(sys.modules)\n"
        "        if heavy:\n"
        "            print(f'{module.name} loads {sorted(heavy)}')\n"
        "            break\n"
    )
    assert loaded == ""


def test_help_answers_at_once() -> None:
    heavy = (
        "{'torch', 'torchvision', 'sqlalchemy', 'alembic', 'psycopg', 'numpy', 'PIL', 'fastapi'}"
    )
    last = in_fresh_python(
        "import runpy, sys, time\n"
        "sys.argv = ['reid', '--help']\n"
        "try:\n"
        "    runpy.run_path('cli.py', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        f"print(sorted({heavy} & set(sys.modules)), round(time.process_time(), 2))\n"
    ).splitlines()[-1]
    loaded, seconds = last.rsplit(" ", 1)
    assert loaded == "[]"
    assert float(seconds) < 1, "CPU seconds for --help"


# --- one word, one meaning


def product_modules() -> list[Path]:
    return sorted(path for name in TOP_LEVEL for path in (ROOT / name).rglob("*.py"))


# Tables and the API's descriptions carry the names of what they store and describe.
DESCRIPTIONS = {"db/schema.py", "web/api/responses.py"}


def test_no_class_name_stands_twice() -> None:
    places: dict[str, list[str]] = {}
    for path in product_modules():
        name = str(path.relative_to(ROOT))
        if name in DESCRIPTIONS:
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(name)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_room_has_two_modules_of_one_name() -> None:
    places: dict[tuple[str, str], list[str]] = {}
    for path in product_modules():
        parts = path.relative_to(ROOT).parts
        if path.stem != "__init__":
            places.setdefault((parts[0], path.stem), []).append("/".join(parts))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


# --- what may lie in the repository


def test_modules_stay_short() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in repository_files()
        if path.suffix == ".py" and (lines := len(path.read_text().splitlines())) > MAX_LINES
    }
    assert long == {}, f"over {MAX_LINES} lines: split them"


def test_no_file_names_a_registry_or_a_folder_of_one_machine() -> None:
    found = []
    for path in repository_files():
        name = str(path.relative_to(ROOT))
        content = path.read_bytes()
        found += [(name, place) for place in PLACES if place.encode() in content]
    assert found == []


def test_pictures_are_drawn_and_lie_in_docs() -> None:
    """Photographs are JPEGs; none is tracked anywhere. Drawn pictures are PNGs, in docs/ only."""
    stray = [
        name
        for path in repository_files()
        if (name := str(path.relative_to(ROOT)))
        and path.suffix.lower() in PICTURES
        and not (name.startswith("docs/") and path.suffix == ".png")
    ]
    assert stray == []


def test_changelog_has_a_place_for_the_next_change() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "\n## [Unreleased]\n" in text
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= kinds
