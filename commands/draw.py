"""`reid draw`: a small data set of drawn people."""

from dataclasses import asdict
from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--train-people", type=click.IntRange(1), default=24, show_default=True)
@click.option("--test-people", type=click.IntRange(1), default=12, show_default=True)
@click.option("--images", type=click.IntRange(2), default=6, show_default=True, help="A person.")
@click.option("--distractors", type=click.IntRange(0), default=20, show_default=True)
@click.option("--seed", type=int, default=7, show_default=True)
def draw(
    folder: Path, train_people: int, test_people: int, images: int, distractors: int, seed: int
) -> None:
    """Draw people with known attributes, in the data set's layout, to try the program on."""
    from drawn.dataset import draw_dataset

    counts = draw_dataset(
        folder,
        train_people=train_people,
        test_people=test_people,
        images_per_person=images,
        distractors=distractors,
        seed=seed,
    )
    for name, count in asdict(counts).items():
        click.echo(f"{name.replace('_', ' ')}: {count}")
