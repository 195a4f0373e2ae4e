"""A report as one HTML file that needs nothing else: no network, no script, no other file."""

from evaluation.report.records import Report
from rendering.frames import FRAMES
from rendering.page import data_uri, render


def generator(kind: str) -> str:
    """What the page says of its origin: by it, an earlier report of this kind is known."""
    return f"reid {kind} --report"


def report_html(report: Report) -> str:
    """The whole page. Equal input gives equal text."""
    return render(
        "evaluation.report",
        "report.html.j2",
        report=report,
        generator=generator(report.kind),
        frames=FRAMES,
        data_uri=data_uri,
        rate=rate,
    )


def rate(value: float | None) -> str:
    """`"0.8093"`, or a dash where a rate is not defined; a tiny one keeps two digits."""
    if value is None:
        return "–"
    return f"{value:.2g}" if 0 < value < 0.001 else f"{value:.4f}"
