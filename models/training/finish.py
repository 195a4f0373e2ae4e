"""From a trained joint network to a checkpoint: measured on people held out, calibrated, saved."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.checkpoint import BadCheckpoint, Header, content_hash, read_header
from models.nets.load import save
from models.training.data import people_by_space
from models.training.joint_training import JointTraining
from models.training.measure import measured


def finish(
    training: JointTraining,
    path: Path,
    spaces: Sequence[str],
    strangers: Sequence[Path] = (),
    twin: Path | None = None,
) -> Header:
    """Saves the network in 16 bit, measures what was saved on the people held out, and writes the
    figures and the calibrated distance into its header.

    Person numbers are of `spaces`, one for each training folder. `strangers` are image files of
    other people: the gallery's distractors. A network that was trained on everybody takes both from
    its `twin`, a checkpoint of the same recipe that was trained without some of them, and says so.
    Raises BadCheckpoint for another kind of twin.
    """
    net = training.finished()
    header = Header(
        architecture=net.architecture,
        preprocessing=training.preprocessing,
        flip_average=training.recipe.flip_average,
        **trained_on(training.pids, spaces),
        recipe={**training.recipe.to_json(), "origin": training.origin},
    )
    if twin and not training.held_out.names:
        header = like_its_twin(header, twin)
    else:
        save(path, net, header, half=True)
        header = measured(path, header, training.held_out, strangers, training.recipe.seed)
    save(path, net, header, half=True)
    return header


def trained_on(pids: Sequence[int], spaces: Sequence[str]) -> dict[str, Any]:
    """What a header says of the people trained on, whose numbers are of these spaces."""
    people = {space: tuple(own) for space, own in people_by_space(pids, spaces).items()}
    return {
        "trained_pids": people[spaces[0]],
        "identity_space": spaces[0],
        "trained_people": people,
    }


def like_its_twin(header: Header, path: Path) -> Header:
    """The header with the twin's limit, cut-offs and figures, labelled so. Raises BadCheckpoint."""
    twin = read_header(path)
    same = (twin.architecture, twin.preprocessing, dict(twin.recipe))
    if same != (header.architecture, header.preprocessing, dict(header.recipe)):
        raise BadCheckpoint(
            f"{path} is no twin: it was trained by another recipe; train it with the same one and "
            "the same start, without --all"
        )
    left_out = len(set(header.trained_pids) - set(twin.trained_pids))
    if not left_out or twin.identity_space != header.identity_space:
        raise BadCheckpoint(f"{path} is no twin: it was not trained without some of the people")
    of_twin = content_hash(path)
    return replace(
        header,
        max_distance=twin.max_distance,
        calibration={**twin.calibration, "of_twin": of_twin},
        rerank_max_distance=twin.rerank_max_distance,
        rerank_calibration={**twin.rerank_calibration, "of_twin": of_twin},
        centred=twin.centred,
        other_limits=twin.other_limits,
        cutoffs=twin.cutoffs,
        metrics={**twin.metrics, "of_twin": of_twin},
        notes=(
            f"trained on all {len(header.trained_pids)} people; limit and figures are those of "
            f"its twin, trained the same way without {left_out} of them: {twin.notes}"
        ),
    )
