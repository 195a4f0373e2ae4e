"""Labels decided for many images at once are those decided one by one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from metrics.decided import decide_rows
from metrics.distances import FloatRows
from vocabulary import COLUMNS, NUM_VALUES, decide

BINARY = [column for column in COLUMNS if NUM_VALUES[column] == 2]
# few values, so that scores are equal to each other and to cut-offs
SCORE = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.7, 1.0])


@given(
    arrays(np.float32, st.tuples(st.integers(0, 4), st.just(56)), elements=SCORE.map(np.float32)),
    st.dictionaries(st.sampled_from(BINARY), SCORE),
)
def test_many_at_once_as_one_by_one(scores_NA: FloatRows, cutoffs: dict[str, float]) -> None:
    found = decide_rows(scores_NA, cutoffs)
    assert found.shape == (len(scores_NA), 27)
    assert found.tolist() == [decide(row, cutoffs) for row in scores_NA.tolist()]
