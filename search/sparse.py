"""Rows of mostly zeros, for the few neighbours that an image has among many."""

# R rows, E entries that are not zero

from dataclasses import dataclass

import numpy as np

from search.distance import Floats64, Ints


@dataclass(frozen=True)
class SparseRows:
    """Row r holds the entries from `starts_R[r]` to `starts_R[r + 1]`."""

    starts_R: Ints  # one more than there are rows
    columns_E: Ints
    values_E: Floats64

    @classmethod
    def of(cls, rows_E: Ints, columns_E: Ints, values_E: Floats64, number: int) -> "SparseRows":
        """`number` rows of entries in any order."""
        order = np.argsort(rows_E, kind="stable")
        starts = np.zeros(number + 1, np.int64)
        np.cumsum(np.bincount(rows_E, minlength=number), out=starts[1:])
        return cls(starts, columns_E[order], values_E[order])

    def entries(self, rows: Ints) -> tuple[Ints, Ints]:
        """(which of `rows`, position of the entry) for each entry of these rows, row by row."""
        counts = self.starts_R[rows + 1] - self.starts_R[rows]
        which = np.repeat(np.arange(len(rows)), counts)
        first = np.cumsum(counts) - counts
        return which, np.arange(len(which)) + (self.starts_R[rows] - first)[which]

    @property
    def rows_E(self) -> Ints:
        """The row of each entry."""
        return np.repeat(np.arange(len(self.starts_R) - 1), np.diff(self.starts_R))
