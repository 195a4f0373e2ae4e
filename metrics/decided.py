"""The labels that many images' scores decide, all at once: as `vocabulary.decide`, with NumPy."""

# N images, A=56 scores, C=27 columns

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from vocabulary import COLUMNS, LABEL_OF, LOWER_COLUMNS, NUM_VALUES, UPPER_COLUMNS

_START_C = np.array([LABEL_OF[f"{column}-1"] - 1 for column in COLUMNS])
_BINARY = [position for position, column in enumerate(COLUMNS) if NUM_VALUES[column] == 2]
_OTHER = [position for position, column in enumerate(COLUMNS) if NUM_VALUES[column] != 2]
_GROUPS = [[COLUMNS.index(column) for column in group] for group in (UPPER_COLUMNS, LOWER_COLUMNS)]


def decide_rows(
    scores_NA: npt.NDArray[np.float32], cutoffs: Mapping[str, float]
) -> npt.NDArray[np.int16]:
    """Labels (N, 27), ascending; row by row what `vocabulary.decide` gives."""
    scores = scores_NA.astype(np.float64)  # a cut-off may lie between two float32 numbers
    values_NC = np.ones((len(scores), len(COLUMNS)), np.int16)
    start = _START_C[_BINARY]
    limits = scores[:, start]
    for place, position in enumerate(_BINARY):
        if COLUMNS[position] in cutoffs:
            limits[:, place] = cutoffs[COLUMNS[position]]
    values_NC[:, _BINARY] += scores[:, start + 1] >= limits
    for position in _OTHER:
        first = _START_C[position]
        of_column = scores[:, first : first + NUM_VALUES[COLUMNS[position]]]
        values_NC[:, position] = 1 + of_column.argmax(axis=1)
    for group in _GROUPS:
        passed = values_NC[:, group] == 2
        best = np.where(passed, scores[:, _START_C[group] + 1], -np.inf).argmax(axis=1)
        values_NC[:, group] = 1
        rows = passed.any(axis=1).nonzero()[0]
        values_NC[rows, np.array(group)[best[rows]]] = 2
    labels: npt.NDArray[np.int16] = (_START_C + values_NC).astype(np.int16)
    return labels
