"""`reid db`: the database."""

import os
from pathlib import Path

import click

from commands.output import note, say_written


@click.group()
def db() -> None:
    """The database: url, upgrade, shell, stop, backup, restore, grant."""


@db.command("url")
def url() -> None:
    """Print a URL for psql and other clients; starts the embedded server."""
    from db.administration import libpq_url

    click.echo(libpq_url())


@db.command("upgrade")
def upgrade() -> None:
    """Bring the database to this program's schema."""
    from db.administration import set_up

    before, now = set_up()
    if before == now:
        click.echo(f"the schema is current ({now})")
    else:
        click.echo(f"schema {before or 'none'} -> {now}")


@db.command("shell")
@click.argument("psql_arguments", nargs=-1, type=click.UNPROCESSED)
def shell(psql_arguments: tuple[str, ...]) -> None:
    """Open psql on the database; what follows `--` goes to psql."""
    from db.administration import client_access, client_program

    psql = client_program("psql")
    url, secrets = client_access()
    os.execve(psql, [psql, url, *psql_arguments], {**os.environ, **secrets})


@db.command("stop")
def stop() -> None:
    """Stop the embedded server; it starts again when it is needed."""
    from db.administration import stop_server

    click.echo("stopped" if stop_server() else "it was not running")


@db.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
def backup(file: Path) -> None:
    """Write the whole database to FILE; checkpoints and image files are not in it."""
    from db.administration import backup as run

    run(file)
    size = f"{file.stat().st_size / 2**20:.1f} MiB" if file.is_file() else "written"
    say_written(file, size)
    note("a backup keeps what is erased later; delete it when its time is over")


@db.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
def restore(file: Path) -> None:
    """Fill an empty database from a backup."""
    from db.administration import restore as run

    run(file)
    click.echo("restored")


@db.command("grant")
@click.argument("role")
@click.option("--review", is_flag=True, help="It may add stored queries and give verdicts too.")
def grant(role: str, review: bool) -> None:
    """Let ROLE read, search and run stored queries, and change nothing else.

    A role that is missing is made, without a login. What it could do before is replaced. Run it
    again after an upgrade of the database.
    """
    from db.administration import grant as run

    made = run(role, review=review)
    click.echo(f"{role} may read, search{', review' if review else ''} and run stored queries")
    if made:
        note(
            "the role is new and cannot log in: let users in with GRANT ROLE TO USER, or with "
            "ALTER ROLE ... LOGIN PASSWORD, in `reid db shell`"
        )
