"""Plots as PNG bytes, each for light and for dark paper. Lines differ by dashes, not by colour
alone, and carry their names."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from metrics.curves import CmcCurve, DistanceDensities, PairCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DOTS_PER_INCH = 150


@dataclass(frozen=True)
class Paper:
    """Colours with a contrast of at least 4.5 for words and 3 for lines on `paper`."""

    paper: str
    ink: str
    muted: str
    rule: str
    model: str
    guess: str


LIGHT = Paper("#ffffff", "#1f2328", "#59636e", "#d1d9e0", "#0969da", "#bc4c00")
DARK = Paper("#0d1117", "#e6edf3", "#9198a1", "#30363d", "#58a6ff", "#f0883e")


@dataclass(frozen=True)
class PlotBar:
    """A rate in [0, 1], None where it is not defined, and what guessing gives."""

    name: str
    value: float | None
    guess: float | None


def cmc_plot(curve: CmcCurve, paper: Paper) -> bytes:
    """The CMC curve beside a random order's, with its values at ranks 1, 5 and 10."""

    ranks = range(1, len(curve.rates_R) + 1)
    marked = [rank for rank in (1, 5, 10) if rank in ranks]
    values = "\n".join(f"  rank-{rank}: {curve.rates_R[rank - 1]:.3f}" for rank in marked)

    def draw(axes: "Axes") -> None:
        axes.plot(
            ranks, curve.rates_R, "o-", color=paper.model, lw=2, ms=6,
            markevery=[rank - 1 for rank in marked], label=f"the model\n{values}",
        )  # fmt: skip
        axes.plot(ranks, curve.chance_R, "--", color=paper.guess, lw=2, label="a random order")
        axes.set_xlim(0, len(curve.rates_R) + 1)
        axes.set_xticks([1, *range(5, len(curve.rates_R) + 1, 5)])
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("rank k")
        axes.set_ylabel("share of queries with a hit within rank k")

    return _png(draw, paper)


def pair_plot(curve: PairCurve, max_distance: float | None, paper: Paper) -> bytes:
    """Precision over recall of pairs, with the point of the calibrated distance."""

    def draw(axes: "Axes") -> None:
        axes.plot(curve.recall_B, curve.precision_B, color=paper.model, lw=2, label="the model")
        axes.axhline(
            curve.chance_precision, ls="--", color=paper.guess, lw=2,
            label=f"guessing: {curve.chance_precision:.2g}",
        )  # fmt: skip
        if max_distance is not None:
            precision, recall = curve.at(max_distance)
            axes.plot(
                [recall], [precision], "D", color=paper.ink, ms=7,
                label=f"max distance {max_distance:.3f}:\n"
                f"precision {precision:.3f}, recall {recall:.3f}",
            )  # fmt: skip
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.04)
        axes.set_xlabel("recall: share of the pairs of one person that are found")
        axes.set_ylabel("precision: share of one person among what is found")

    return _png(draw, paper)


def density_plot(found: DistanceDensities, max_distance: float | None, paper: Paper) -> bytes:
    """How far apart images of one person and images of strangers lie."""

    def draw(axes: "Axes") -> None:
        bins = (
            (found.same_B, "same person", paper.model, "-", 0.35),
            (found.strangers_B, "strangers", paper.guess, "--", 0.2),
        )
        for density_B, label, color, style, alpha in bins:
            axes.stairs(density_B, found.edges, fill=True, color=color, alpha=alpha)
            axes.stairs(density_B, found.edges, color=color, lw=2, ls=style, label=label)
        if max_distance is not None:
            axes.axvline(
                max_distance, color=paper.ink, ls=":", lw=2,
                label=f"max distance {max_distance:.3f}",
            )  # fmt: skip
        highest = max(found.same_B.max(initial=0), found.strangers_B.max(initial=0))
        axes.set_ylim(0, float(highest) * 1.4 or 1)
        axes.set_xlabel("L2 distance of the embeddings (lower is closer)")
        axes.set_ylabel("density (each has an area of 1)")

    return _png(draw, paper)


@dataclass(frozen=True)
class Panel:
    """Bars under a title; `unit` says what they measure."""

    title: str
    unit: str
    bars: Sequence[PlotBar]


def bar_plot(panels: Sequence[Panel], guess_label: str, paper: Paper) -> bytes:
    """Horizontal bars, one a name, with a line where guessing stands and both values beside it;
    the panels have the same names, written once."""
    names = [bar.name for bar in panels[0].bars]

    def draw(axes: "Sequence[Axes]") -> None:
        for one, panel in zip(axes, panels, strict=True):
            for row, bar in enumerate(panel.bars):
                _bar(one, row, bar, paper)
            one.set_title(panel.title, color=paper.ink, fontsize=11, loc="left")
            one.set_ylim(len(names) - 0.4, -1.3)
            one.set_xlim(0, 1.36)
            one.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
            one.set_xlabel(panel.unit, loc="left")
            one.set_yticks(range(len(names)), names if one is axes[0] else [""] * len(names))
            one.grid(visible=False, axis="y")
            one.tick_params(axis="y", length=0)
            for x, heading in ((1.11, "model"), (1.28, "guess")):
                one.text(x, -0.95, heading, ha="center", va="center", color=paper.muted, fontsize=8)
        axes[0].bar(0, 0, color=paper.model, label="the model")
        axes[0].plot([], [], "|", color=paper.guess, ms=13, mew=3, label=f"guess: {guess_label}")

    return _png(draw, paper, size=(9, 1.7 + 0.27 * len(names)), columns=len(panels))


def _bar(axes: "Axes", row: int, bar: PlotBar, paper: Paper) -> None:
    if bar.value is None:
        axes.text(0.02, row, "only one value occurs", va="center", color=paper.muted, fontsize=8)
        return
    axes.barh(row, bar.value, 0.62, color=paper.model)
    columns = [(1.11, bar.value, paper.ink)]
    if bar.guess is not None:
        axes.plot([bar.guess] * 2, [row - 0.4, row + 0.4], color=paper.guess, lw=3)
        columns.append((1.28, bar.guess, paper.muted))
    for x, value, color in columns:
        axes.text(x, row, f"{value:.3f}", ha="center", va="center", color=color, fontsize=8)


def _png(
    draw: Callable[[Any], None],
    paper: Paper,
    *,
    size: tuple[float, float] = (7, 4.4),
    columns: int = 1,
) -> bytes:
    """A figure without any state of matplotlib's own; equal input gives equal bytes."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    with rc_context({"font.family": "DejaVu Sans"}):
        figure = Canvas(figsize=size, dpi=_DOTS_PER_INCH, facecolor=paper.paper)
        FigureCanvasAgg(figure)
        axes = [figure.add_subplot(1, columns, n + 1) for n in range(columns)]
        for one in axes:
            _dress(one, paper)
        draw(axes if columns > 1 else axes[0])
        _legends(figure, axes, paper)
        figure.tight_layout(rect=(0, 0, 1, 1 if columns == 1 else 1 - 0.35 / size[1]))
        content = BytesIO()
        figure.savefig(content, format="png", facecolor=paper.paper, metadata={"Software": None})
    return content.getvalue()


def _dress(axes: "Axes", paper: Paper) -> None:
    axes.set_facecolor(paper.paper)
    axes.grid(visible=True, color=paper.rule, lw=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(paper.muted)
    axes.tick_params(colors=paper.muted, labelcolor=paper.ink, labelsize=9)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(paper.ink)


def _legends(figure: Any, axes: "Sequence[Axes]", paper: Paper) -> None:
    """Above several panels; in one, where it hides least."""
    style: dict[str, Any] = {
        "labelcolor": paper.ink, "facecolor": paper.paper, "edgecolor": "none", "framealpha": 0.85,
    }  # fmt: skip
    if len(axes) == 1:
        axes[0].legend(loc="best", **style)
        return
    handles, labels = axes[0].get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda n: labels[n] != "the model")
    figure.legend(
        [handles[n] for n in order], [labels[n] for n in order],
        loc="upper center", ncols=len(labels), **style,
    )  # fmt: skip
