"""The report of `evaluate reid`: curves over ranks and pairs, distances, worst and best queries."""

from collections.abc import Iterable, Mapping, Sequence

from evaluation.evaluate_reid import ReidReport, ReidTask
from evaluation.ranked import Collector, RankedQuery
from evaluation.report.plots import DARK, LIGHT, cmc_plot, density_plot, pair_plot
from evaluation.report.records import Drawing, Figure, Report, StripSet
from evaluation.report.strips import ShownMatch, ShownQuery, strip_set
from metrics.curves import CmcCurve, PairCurve
from metrics.reid import ReidMetrics
from query_sets.batch_search import UNKNOWN_PERSON
from rendering.captions import counted

KIND = "evaluate reid"
SHOWN_QUERIES = 6
_RANDOM = "a random order"
PERSONAL = (
    "This page shows images of people: it is personal data. Keep it as you keep the images, and "
    "delete it with them: erasing somebody in the database does not reach this file. "
    "With --no-strips it shows nobody."
)


def reid_page(
    report: ReidReport,
    task: ReidTask,
    seen: Collector,
    strip_sets: Sequence[StripSet],
    *,
    galleries: Sequence[str],
    command: str,
    measured: str,
) -> Report:
    """The whole report; `seen` has watched this evaluation."""
    trained = report.about_training()
    return Report(
        kind=KIND,
        title="How well people are found again",
        facts=_facts(report, task.query.name, galleries),
        warnings=[*([trained] if trained else []), *([PERSONAL] if strip_sets else [])],
        columns=["by distance", *(["re-ranked"] if report.reranked else [])],
        figures=_figures(report, seen),
        drawings=_drawings(seen, task.model.max_distance),
        tables=(),
        strip_sets=strip_sets,
        command=command,
        measured=measured,
    )


def _facts(report: ReidReport, query: str, galleries: Sequence[str]) -> list[str]:
    metrics = report.metrics
    return [
        f"model {report.model}",
        f"queries: {query}",
        f"{metrics.num_valid_queries:,} of {counted(metrics.num_queries, 'query', 'queries')} "
        "have a match to find",
        counted(report.num_people, "person", "people"),
        f"gallery: {', '.join(galleries)}",
        counted(report.num_gallery, "gallery image"),
        f"of them {counted(report.num_distractors, 'distractor')}",
        "single query; same person on the same camera, copies of the query and junk left out",
    ]


def _figures(report: ReidReport, seen: Collector) -> list[Figure]:
    chance = seen.cmc().chance_R
    guesses = {
        "mAP": report.metrics.chance_mAP,
        "rank1": chance[0],
        "rank5": chance[4],
        "rank10": chance[9],
        "mINP": seen.chance_mINP(),
    }
    columns: list[ReidMetrics] = [report.metrics, *([report.reranked] if report.reranked else [])]
    figures = [
        Figure(
            name.replace("rank", "rank-"),
            [getattr(metrics, name) for metrics in columns],
            float(guess),
            _RANDOM,
        )
        for name, guess in guesses.items()
    ]
    pairs = seen.pairs.curve()
    none = [None] * (len(columns) - 1)  # a re-ranked distance is no distance between two images
    return [
        *figures,
        Figure(
            "average precision over all pairs",
            [pairs.average_precision, *none],
            pairs.chance_precision,
            "the share of pairs of one person",
        ),
    ]


def _drawings(seen: Collector, max_distance: float | None) -> list[Drawing]:
    cmc, pairs, densities = seen.cmc(), seen.pairs.curve(), seen.pairs.densities()
    limit = _limit(pairs, max_distance)
    same, strangers = seen.pairs.medians()
    ratio = pairs.num_strangers / max(1, pairs.num_same)
    return [
        Drawing(
            file="cmc.png",
            title="Cumulative matching characteristic",
            alt=f"CMC curve rising from {_at(cmc, 1)} over {_at(cmc, 5)} and {_at(cmc, 10)} to "
            f"{_at(cmc, len(cmc.rates_R))}; a random order rises from {cmc.chance_R[0]:.2g} to "
            f"{cmc.chance_R[-1]:.2g}.",
            caption="How many queries have a first hit within rank k.",
            light=cmc_plot(cmc, LIGHT),
            dark=cmc_plot(cmc, DARK),
        ),
        Drawing(
            file="precision-recall.png",
            title="Precision and recall over pairs",
            alt="Precision over recall of all pairs of a query and a gallery image, area "
            f"{pairs.average_precision:.3f}; guessing gives {pairs.chance_precision:.2g}. {limit}",
            caption=f"{counted(pairs.num_same, 'pair')} of one person and "
            f"{counted(pairs.num_strangers, 'pair')} of strangers, as the distance limit grows "
            f"from left to right. {limit}",
            light=pair_plot(pairs, max_distance, LIGHT),
            dark=pair_plot(pairs, max_distance, DARK),
        ),
        Drawing(
            file="distances.png",
            title="Distances of the same person and of strangers",
            alt=f"Two densities over the L2 distance: the same person, half below {same:.3f}, and "
            f"strangers, half below {strangers:.3f}. {limit}",
            caption=f"Half of the pairs of one person lie below {same:.3f}, half of the strangers' "
            f"below {strangers:.3f}. Each density has an area of 1, although there are "
            f"{ratio:,.1f} times as many pairs of strangers. {limit}",
            light=density_plot(densities, max_distance, LIGHT),
            dark=density_plot(densities, max_distance, DARK),
        ),
    ]


def _at(cmc: CmcCurve, rank: int) -> str:
    return f"{cmc.rates_R[rank - 1]:.3f} at rank {rank}"


def _limit(pairs: PairCurve, max_distance: float | None) -> str:
    if max_distance is None:
        return "The model has no calibrated distance."
    precision, recall = pairs.at(max_distance)
    return (
        f"Below the calibrated distance of {max_distance:.3f} lie {recall:.3f} of the pairs of one "
        f"person, and {precision:.3f} of what lies below it is the same person."
    )


def shown_ids(task: ReidTask, queries: Iterable[RankedQuery]) -> set[int]:
    """The images that the strips of these queries show."""
    return {
        image_id
        for query in queries
        for image_id in (
            int(task.queries.ids_G[query.row]),
            *(int(task.gallery.ids_G[ranked.row]) for ranked in query.head),
        )
    }


def strip_sets(
    task: ReidTask, seen: Collector, names: Mapping[int, str], thumbnails: Mapping[int, bytes]
) -> list[StripSet]:
    """The worst queries, then the best; `names` are the queries' file names by image id."""
    return [
        strip_set(
            f"{which}.png",
            f"The {which} queries by average precision",
            [_shown(task, query, names) for query in queries],
            thumbnails,
        )
        for which, queries in extremes(seen).items()
    ]


def extremes(seen: Collector) -> dict[str, list[RankedQuery]]:
    """The worst and the best queries; with few queries, none is both."""
    count = min(SHOWN_QUERIES, (len(seen.queries) + 1) // 2)
    worst = seen.worst(count)
    return {"worst": worst, "best": [query for query in seen.best(count) if query not in worst]}


def _shown(task: ReidTask, query: RankedQuery, names: Mapping[int, str]) -> ShownQuery:
    image_id = int(task.queries.ids_G[query.row])
    camid = int(task.queries.camids_G[query.row])
    gallery = task.gallery
    return ShownQuery(
        name=names.get(image_id, f"image {image_id}"),
        camid=None if camid < 0 else camid,
        image_id=image_id,
        average_precision=query.average_precision,
        first_hit=query.first_hit,
        num_hits=query.num_hits,
        matches=[
            ShownMatch(
                rank=ranked.rank,
                distance=ranked.distance,
                camid=None if (found := int(gallery.camids_G[ranked.row])) < 0 else found,
                image_id=int(gallery.ids_G[ranked.row]),
                hit=ranked.hit if task.g_pids[ranked.row] != UNKNOWN_PERSON else None,
            )
            for ranked in query.head
        ],
    )
