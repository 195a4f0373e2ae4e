"""`reid collection`: named sets of images."""

import click

from commands import options
from commands.output import emit, format_option, note


@click.group()
def collection() -> None:
    """List, remove or prune collections of images."""


@collection.command("list")
@format_option
def list_(format_: str) -> None:
    """List the collections with their identity spaces and numbers of images."""
    from gallery.status import list_collections

    rows = list_collections(options.database())
    emit(rows, rows, format_, columns=("name", "identities", "images"))
    if not rows:
        note("no collection yet; see reid ingest --help")


@collection.command("remove")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(name: str, yes: bool) -> int:
    """Remove a collection with its images' rows, features and matches; files stay."""
    from gallery.status import remove_collection

    engine = options.database()
    asking = f"Remove collection {name} and all that was computed for it?"
    if not yes and not click.confirm(asking):
        note("nothing was removed")
        return 1
    click.echo(f"removed {name} ({remove_collection(engine, name)} images)")
    return 0


@collection.command("prune")
@click.argument("name")
def prune(name: str) -> None:
    """Remove the images whose files were gone when their source was last ingested."""
    from gallery.status import prune_collection

    click.echo(f"removed {prune_collection(options.database(), name)} images from {name}")
