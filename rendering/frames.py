"""The three frames of a match: the query's person, another one, or nobody knows."""

from dataclasses import dataclass

from search.answer import Answer, Match


@dataclass(frozen=True)
class Frame:
    """What is known of a match's identity, never by colour alone: `mark` stands in the corner.

    Each colour has a contrast of at least 3 on white and on the page's dark background.
    """

    name: str
    words: str
    color: str
    mark: str


SAME = Frame("same", "same person", "#238636", "✓")
OTHER = Frame("other", "another person", "#d1242f", "✗")
UNKNOWN = Frame("unknown", "identity unknown", "#818b98", "")
FRAMES = (SAME, OTHER, UNKNOWN)


def frame_of(answer: Answer, match: Match) -> Frame:
    """Green for the query's person, red for another one, grey where nobody knows."""
    return {True: SAME, False: OTHER, None: UNKNOWN}[answer.is_same_person(match)]
