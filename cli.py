"""`reid`: the command line. Commands load lazily, errors become exit codes here and nowhere else.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished but some or all items failed,
130 interrupted.
"""

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn, TextIO, cast

import click

from errors import ReidError

# command -> (module, its one line of help); the module is loaded when it is called
COMMANDS: dict[str, tuple[str, str]] = {
    "adapt": ("commands.adapt", "Learn the cameras of stored images, without labels."),
    "audit": ("commands.audit", "Who did what, when and why."),
    "calibrate": (
        "commands.calibrate",
        "Choose what `--max-distance auto` means, on your own people.",
    ),
    "collection": ("commands.collection", "List, remove or prune collections of images."),
    "db": ("commands.db", "The database: url, upgrade, shell, stop, backup, restore, grant."),
    "doctor": (
        "commands.doctor",
        "Check this installation and say what to do about what is wrong.",
    ),
    "draw": ("commands.draw", "Draw a small data set of people, to try the program on."),
    "erase": ("commands.erase", "Erase pictures of people, and keep them out."),
    "evaluate": ("commands.evaluate", "The field's metrics, beside what guessing gets."),
    "export": ("commands.export", "Write reid_test.txt, matches or classification_test.csv."),
    "index": ("commands.index", "The approximate index: build, drop, status."),
    "ingest": ("commands.ingest", "Take person crops into a collection."),
    "match": ("commands.match", "A reviewer's verdicts: confirm, reject, withdraw, list."),
    "model": ("commands.model", "List, add, activate models; show a model's card."),
    "people": ("commands.people", "Group images into people without names: find, list, export."),
    "query": ("commands.query", "Stored queries: add, list, show, run, diff, remove."),
    "retention": ("commands.retention", "After how many days what is stored goes."),
    "retry": ("commands.status", "Make failed images pending again."),
    "search": ("commands.search", "Find a person again, now."),
    "serve": ("web.serve", "The web page and the API."),
    "status": ("commands.status", "What is stored, what failed and why."),
    "train": ("commands.train", "Train a model."),
    "worker": ("commands.worker", "Work through what is registered."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, so that help answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(COMMANDS.items())])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from errors import did_you_mean

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            hint = did_you_mean(args[0], sorted(COMMANDS))
            ctx.fail(f"no command {args[0]!r}{hint or '; see reid --help'}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="reid-search", prog_name="reid")
@click.option("--home", metavar="DIR", help="Where the embedded database lives (REID_HOME).")
@click.option("--database-url", metavar="URL", help="A Postgres server (REID_DATABASE_URL).")
@click.option(
    "--statement-timeout",
    metavar="SECONDS",
    help="For each statement of a search; default 300, 0 is no limit (REID_STATEMENT_TIMEOUT).",
)
@click.option(
    "--read-only",
    is_flag=True,
    help="Search a server that takes no writes, without an audit row (REID_READ_ONLY).",
)
@click.option(
    "--inference",
    metavar="E",
    help="What runs the network: torch, openvino, or auto, the quickest here (REID_ENGINE).",
)
def cli(
    home: str | None,
    database_url: str | None,
    statement_timeout: str | None,
    read_only: bool,
    inference: str | None,
) -> None:
    """Find a person again among many images.

    \b
    Try:  reid ingest FOLDER --collection NAME
          reid search IMAGE --collection NAME --where "gender = female and hat"
    """
    _load_dotenv()
    if home:
        os.environ["REID_HOME"] = home
        os.environ["REID_DATABASE_URL"] = ""  # a flag wins over what the environment says
    if database_url:
        os.environ["REID_DATABASE_URL"] = database_url
    if statement_timeout:
        os.environ["REID_STATEMENT_TIMEOUT"] = statement_timeout
    if read_only:
        os.environ["REID_READ_ONLY"] = "1"
    if inference:
        os.environ["REID_ENGINE"] = inference


def _load_dotenv() -> None:
    if os.path.exists(".env"):  # noqa: PTH110 - pathlib would be imported for this alone
        import io
        from pathlib import Path

        from dotenv import load_dotenv

        from files import read_text

        load_dotenv(stream=io.StringIO(read_text(Path(".env"))), override=False)


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line; gives its exit code."""
    try:
        result: Any = cli.main(
            args=None if arguments is None else list(arguments), standalone_mode=False
        )
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; run the same command again to go on", err=True)
        return 130
    except ReidError as error:
        click.echo(f"reid: {error}", err=True)
        return error.exit_code
    except BrokenPipeError:
        # the reader has gone (`reid ... | head`): nothing more to say, and not to say that either
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        return 0
    except UnicodeError as error:
        code, said = _about_text(error)
        click.echo(f"reid: {said}", err=True)
        return code
    except Exception as error:
        sentence = _sentence_for(error)
        if sentence is None:
            raise
        click.echo(f"reid: {sentence}", err=True)
        return 1
    return result if isinstance(result, int) else 0


def _about_text(error: UnicodeError) -> tuple[int, str]:
    """(exit code, sentence): a name's or the output's fault; else as it came."""
    said = " ".join(str(error).split())
    if not isinstance(error, UnicodeEncodeError):
        return 1, said
    letters = error.object[error.start : error.end]
    if any("\ud800" <= letter <= "\udfff" for letter in letters):
        # bytes that are no text become such letters in arguments and in names of files alone
        return 2, "an argument or a file's name is no UTF-8 text; names must be"
    if not error.encoding.lower().startswith("utf"):
        return 1, (
            f"the output takes {error.encoding} alone, and cannot show {letters!a}; "
            "set PYTHONUTF8=1, or a locale with UTF-8"
        )
    return 1, said


def _sentence_for(error: Exception) -> str | None:
    """What a user can do about an error of the disk or the database; None for a bug of ours."""
    if isinstance(error, ModuleNotFoundError) and _root(error) in ("torch", "torchvision"):
        from inference.engines import INSTALL_TORCH

        return f"this needs {_root(error)}, which is not installed; {INSTALL_TORCH}"
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        said = error.strerror or " ".join(str(error).split()) or type(error).__name__
        return f"{said}{where}"
    if type(error).__module__.partition(".")[0] in ("sqlalchemy", "psycopg"):
        from db.error_sentences import sentence_for

        return sentence_for(error)
    return None


def _root(error: ModuleNotFoundError) -> str:
    return (error.name or "").partition(".")[0]


class _Forgiving:
    """stderr, which may end before the work does: a terminal that is closed, a reader that has
    gone, a full disk. What is said to nobody fails nothing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._stream = open(os.devnull, "w")  # noqa: PTH123, SIM115
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._stream = open(os.devnull, "w")  # noqa: PTH123, SIM115


def _stand_on_three_streams() -> None:
    """Opens what a daemon or `2>&-` has closed: the next socket or file would else get the number
    of a standard stream, and every child would write into it."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which gets the lowest free number, so this one
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115
    sys.stderr = cast(TextIO, _Forgiving(sys.stderr))


def main() -> NoReturn:
    """The installed script."""
    _stand_on_three_streams()
    # `kill` ends us as Ctrl-C does: leases are given back
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run())


if __name__ == "__main__":
    main()
