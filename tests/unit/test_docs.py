"""Every command and option is documented; the documentation's own examples are real."""

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from jsonschema import Draft202012Validator

from cli import COMMANDS, cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]


def every_command(
    command: click.Command, words: tuple[str, ...] = ()
) -> list[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        return [(" ".join(words), command)]
    context = click.Context(command)
    found = []
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        found += every_command(below, (*words, name))
    return found


def test_the_command_page_is_current() -> None:
    script = ROOT / "scripts" / "write_docs.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("words", "command"), every_command(cli))
def test_every_command_has_help(words: str, command: click.Command) -> None:
    assert command.help, f"`reid {words}` has no help"


def test_the_list_of_commands_says_what_they_do() -> None:
    context = click.Context(cli)
    for name, (_, line) in COMMANDS.items():
        assert cli.get_command(context, name) is not None
        assert line.endswith(".")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_on_the_pages_exist(page: Path) -> None:
    known = {words for words, _ in every_command(cli)}
    groups = {words.split()[0] for words in known if " " in words}
    for line in re.findall(r"^(?:\$ )?(?:\.venv/bin/)?reid ([a-z][^\n]*)", page.read_text(), re.M):
        words = line.split()
        called = " ".join(words[:2]) if words[0] in groups else words[0]
        assert called in known, f"{page.name} names `reid {called}`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "schemas").glob("*.json")), ids=str)
def test_schemas_are_schemas(path: Path) -> None:
    Draft202012Validator.check_schema(json.loads(path.read_text()))
