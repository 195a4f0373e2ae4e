"""What the planner does with a statement, in words, and whether that finds every row."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.sql.selectable import SelectBase

from search.statement import SHOWN, planned

APPROXIMATE = ("hnsw", "ivfflat")  # pgvector's access methods that may lose rows

Node = Mapping[str, Any]


@dataclass(frozen=True)
class PostgresPlan:
    """`rows` are those that the planner expects. `exact` is False where an index proposes the
    nearest rows: then some may be missing."""

    rows: int
    exact: bool
    words: str


def plan_of(connection: Connection, stmt: SelectBase) -> PostgresPlan:
    """Asks the planner; the statement is not run."""
    root = planned(connection, stmt)
    methods = _access_methods(connection, {n["Index Name"] for n in _nodes(root) if _index(n)})
    return described(root, methods)


def described(root: Node, methods: Mapping[str, str]) -> PostgresPlan:
    """`methods` gives the access method of each index: `{"ix_feature_labels": "gin"}`."""
    indexes = list(dict.fromkeys(n["Index Name"] for n in _nodes(root) if _index(n)))
    guessing = [name for name in indexes if methods.get(name) in APPROXIMATE]
    if guessing:
        head = f"approximate, candidates from the index {guessing[0]}"
    else:
        read = _indexes_of_features(root)
        head = f"exact behind the index {' and '.join(read)}" if read else "exact scan"
    steps = [words for node in _nodes(root) if (words := _words(node))]
    return PostgresPlan(int(root["Plan Rows"]), not guessing, f"{head}: {', '.join(steps)}")


def _access_methods(connection: Connection, names: set[str]) -> dict[str, str]:
    stmt = text(
        "SELECT c.relname, a.amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam"
        " WHERE c.relkind = 'i' AND c.relname = ANY(:names)"
    )
    rows = connection.execute(stmt, {"names": sorted(names)}) if names else ()
    return {row[0]: row[1] for row in rows}


def _nodes(node: Node, *, inner: bool = True) -> Iterator[Node]:
    """The steps in the order in which they are taken: what is read first comes first. Without
    `inner`, those of statements within a statement are left out."""
    for below in node.get("Plans", ()):
        if inner or below["Parent Relationship"] not in ("SubPlan", "InitPlan"):
            yield from _nodes(below, inner=inner)
    yield node


def _index(node: Node) -> str | None:
    return node.get("Index Name")


def _indexes_of_features(root: Node) -> list[str]:
    """The indexes by which rows of `feature` are found; not those by which what was found is
    looked up, nor those of a condition's own statement."""
    found: list[str] = []
    for node in _nodes(root):
        if node.get("Relation Name") == "feature" and node["Alias"] != SHOWN:
            found += [name for below in _nodes(node, inner=False) if (name := _index(below))]
    return list(dict.fromkeys(found))


def _words(node: Node) -> str | None:
    kind, table = node["Node Type"], node.get("Relation Name")
    match kind:
        case "Seq Scan":
            return f"reads all of {table}"
        case "Index Scan" | "Index Only Scan":
            return f"looks up {table} by {node['Index Name']}"
        case "Bitmap Index Scan":
            return f"asks {node['Index Name']}"
        case "Bitmap Heap Scan":
            return f"reads what it names of {table}"
        case "Hash Join" | "Merge Join" | "Nested Loop":
            return f"joins ({kind.lower()})"
        case "Sort" | "Incremental Sort":
            return "sorts"
        case "Limit":
            return "cuts at the limit"
        case "Gather" | "Gather Merge":
            return f"with {node['Workers Planned']} more processes"
        case _:
            return None
