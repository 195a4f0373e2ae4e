"""The folder of a report: checked before any work, written file by file."""

import os
from importlib.util import find_spec
from pathlib import Path

from errors import ReidError, UsageError
from evaluation.report.page import generator, report_html
from evaluation.report.records import Report
from files import write_whole

INDEX = "index.html"
FILES = {
    "evaluate reid": ("cmc.png", "precision-recall.png", "distances.png", "worst.png", "best.png"),
    "evaluate attributes": ("attributes.png", "groups.png"),
}


class CannotReport(UsageError):
    """No report can be written there."""

    http_status = 507


class NoPlots(ReidError):
    """The package that draws the plots is not installed."""

    http_status = 501

    def __init__(self) -> None:
        super().__init__(
            "a report needs matplotlib, which is not installed: run `make install`, "
            "or install reid-search with its extra `report`"
        )


def prepare_folder(folder: Path, kind: str) -> None:
    """Creates the folder where it is missing. Raises NoPlots, or CannotReport where it cannot be
    written to, or holds a page that is no earlier report of this kind."""
    if find_spec("matplotlib") is None:
        raise NoPlots
    trouble = _trouble(folder)
    if trouble:
        raise CannotReport(f"cannot write a report to {folder}: {trouble}")
    _check_index(folder, kind)


def _trouble(folder: Path) -> str | None:
    if not folder.parent.is_dir():
        return f"there is no folder {folder.parent}; create it first"
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError:
        return "that is a file; name a folder"
    except OSError as error:
        return f"{error.strerror}; choose another place"
    return None if os.access(folder, os.W_OK | os.X_OK) else "it is read-only to you"


def _check_index(folder: Path, kind: str) -> None:
    try:
        known = generator(kind) in (folder / INDEX).read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return
    except OSError as error:
        raise CannotReport(f"cannot read {folder / INDEX}: {error.strerror}") from error
    if not known:
        raise CannotReport(
            f"{folder / INDEX} is no report of `reid {kind}`; name a new or another folder"
        )


def write_report(folder: Path, report: Report) -> list[Path]:
    """Writes the plots and the page, the page last; gives the files. What an earlier report of
    this kind left and this one does not have is removed, such as strips with people."""
    contents = {drawing.file: drawing.light for drawing in report.drawings}
    contents |= {strips.file: strips.png for strips in report.strip_sets if strips.strips}
    for name in set(FILES[report.kind]) - set(contents):
        (folder / name).unlink(missing_ok=True)
    contents[INDEX] = report_html(report).encode()
    for name, content in contents.items():
        write_whole(folder / name, content)
    return [folder / name for name in contents]
