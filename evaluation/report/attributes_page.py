"""The report of `evaluate attributes`: every column and group beside what the majority gives."""

from collections.abc import Mapping, Sequence

from evaluation.evaluate_attributes import AttributeReport
from evaluation.report.page import rate
from evaluation.report.plots import DARK, LIGHT, Panel, PlotBar, bar_plot
from evaluation.report.records import Drawing, Figure, Report, Table
from metrics.attribute_groups import GroupMetrics
from metrics.attributes import ColumnMetrics
from rendering.captions import counted

KIND = "evaluate attributes"
_MAJORITY = "always the majority's answer"
_SHADES = 10


def attributes_page(report: AttributeReport, *, command: str, measured: str) -> Report:
    """The whole report. It shows nobody."""
    metrics = report.metrics
    unused = (
        [f"{counted(report.unused_rows, 'row')} of the annotations fit no image of the collection."]
        if report.unused_rows
        else []
    )
    return Report(
        kind=KIND,
        title="How well attributes are told",
        facts=[
            f"model {report.model}",
            f"collection: {report.collection}",
            report.measured_on(),
        ],
        warnings=unused,
        columns=["the model"],
        figures=_figures(report),
        drawings=[
            _bars("attributes.png", "The 27 columns", metrics.columns),
            _bars("groups.png", "The 12 groups", metrics.groups),
        ],
        tables=[
            _columns(metrics.columns),
            _groups(metrics.groups),
            *(_confusion(metrics.group(name)) for name in ("upper_color", "lower_color")),
        ],
        strip_sets=(),
        command=command,
        measured=measured,
    )


def _figures(report: AttributeReport) -> list[Figure]:
    metrics = report.metrics
    means = [
        Figure(row["mean"], [row["model"]], row["majority"], _MAJORITY) for row in report.means()
    ]
    ranked = Figure(
        "27 columns, average precision",
        [metrics.mean_average_precision],
        metrics.chance_average_precision,
        "equal scores for everybody",
    )
    return [*means, ranked]


def _bars(file: str, title: str, rows: Sequence[ColumnMetrics | GroupMetrics]) -> Drawing:
    accuracy = [PlotBar(row.name, row.accuracy, row.majority_accuracy) for row in rows]
    balanced = [
        PlotBar(row.name, row.balanced_accuracy, row.majority_balanced_accuracy) for row in rows
    ]
    panels = [
        Panel("accuracy", "share of images that are right", accuracy),
        Panel("balanced accuracy", "mean share over the values that occur", balanced),
    ]
    better = sum((row.accuracy or 0) > (row.majority_accuracy or 0) for row in rows)
    return Drawing(
        file=file,
        title=title,
        alt=f"Bars of accuracy and balanced accuracy with a line where the majority's answer "
        f"stands: accuracy lies above it for {better} of {len(rows)}. The table has every number.",
        caption=f"Accuracy lies above the majority's for {better} of {len(rows)}. Where one answer "
        "is nearly always right, accuracy says little: balanced accuracy is the mean recall of "
        "the values, which always the majority's answer cannot raise.",
        light=bar_plot(panels, _MAJORITY, LIGHT),
        dark=bar_plot(panels, _MAJORITY, DARK),
        wide=True,
    )


def _columns(columns: Sequence[ColumnMetrics]) -> Table:
    return Table(
        title="Every column",
        note="F1 and average precision are of the value 2, for age the mean over its values. "
        "People: how many have the rarest value that occurs.",
        head=(
            "column", "accuracy", "majority", "balanced", "majority", "F1", "majority",
            "average precision", "equal scores", "people",
        ),
        rows=[
            (
                column.name,
                *map(
                    rate,
                    (
                        column.accuracy, column.majority_accuracy,
                        column.balanced_accuracy, column.majority_balanced_accuracy,
                        column.f1, column.majority_f1,
                        column.average_precision, column.chance_average_precision,
                    ),
                ),
                f"{column.num_identities:,}",
            )
            for column in columns
        ],
    )  # fmt: skip


def _groups(groups: Sequence[GroupMetrics]) -> Table:
    return Table(
        title="Every group",
        note="A colour group is right where the colour that was decided is the true one, or both "
        "are unknown.",
        head=("group", "accuracy", "majority", "balanced", "majority", "the majority is"),
        rows=[
            (
                group.name,
                *map(
                    rate,
                    (
                        group.accuracy,
                        group.majority_accuracy,
                        group.balanced_accuracy,
                        group.majority_balanced_accuracy,
                    ),
                ),
                group.majority or "nobody knows",
            )
            for group in groups
        ],
    )


def _confusion(group: GroupMetrics) -> Table:
    """Counts, a row a truth; the darker, the larger the share of that truth."""
    decided = list(next(iter(group.confusion.values())))
    shades = [_shades(counts) for counts in group.confusion.values()]
    return Table(
        title=f"Confusion: {group.name.replace('_', ' ')}",
        note="Images by what is true (rows) and what was decided (columns); the tint is the share "
        "of the row.",
        head=("truth \\ decided", *decided, "images"),
        rows=[
            (truth, *(f"{count:,}" for count in counts.values()), f"{sum(counts.values()):,}")
            for truth, counts in group.confusion.items()
        ],
        shades=[[*row, 0] for row in shades],
    )


def _shades(counts: Mapping[str, int]) -> list[int]:
    total = max(1, sum(counts.values()))
    return [min(_SHADES - 1, count * _SHADES // total) for count in counts.values()]
