"""Writes `docs/commands.md` from the commands' own help; `--check` says whether it is current."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cli import cli  # noqa: E402

OUT = ROOT / "docs" / "commands.md"
HEAD = """# Commands

Written by `scripts/write_docs.py` from the commands' own help. `reid` is `.venv/bin/reid`, or
`python cli.py`. Data goes to stdout, everything else to stderr.

| exit code | means |
|---|---|
| 0 | done |
| 1 | failed: one sentence on stderr says what, and what to do |
| 2 | wrong usage: nothing was changed |
| 3 | finished, but some or all items failed; each is named with its reason |
| 130 | interrupted: run the same command again to go on |

Configuration: an option, else the environment (`REID_HOME`, `REID_DATABASE_URL`, `REID_DEVICE`,
`REID_STATEMENT_TIMEOUT`, `REID_READ_ONLY`, `REID_DECODE_SECONDS` for an image, `REID_ACTOR` for
the audit log, `REID_TOKEN` for the page), else a file `.env`, else the default.
The JSON that `--format json` prints is described in [json.md](json.md).
"""


def commands(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    """Every command below `command` with the words that call it, in order."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, (*words, name))
    else:
        yield " ".join(words), command


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for words, command in commands(cli, ("reid",)):
        context = click.Context(command, info_name=words, terminal_width=96, max_content_width=96)
        parts.append(f"## `{words}`\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        if not OUT.exists() or OUT.read_text() != page():
            raise SystemExit("docs/commands.md is not current: run scripts/write_docs.py")
        return
    OUT.write_text(page())


if __name__ == "__main__":
    main()
