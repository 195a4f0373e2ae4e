"""`make demo`: the whole job on drawn people, by the same commands that a user types.

Everything lies in one folder (default `demo/`), with a database of its own that is stopped at the
end. Run again: nothing is ingested twice.
"""

import argparse
import io
import json
import os
import shlex
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from cli import run  # noqa: E402

SET = "demo"


def say(line: str = "") -> None:
    print(line, flush=True)


def reid(*arguments: str) -> None:
    """Shows a command as a user would type it, and runs it."""
    say(f"\n$ reid {shlex.join(arguments)}")
    code = run(arguments)
    if code:
        raise SystemExit(f"demo: `reid {shlex.join(arguments)}` ended with {code}")


def asked(*arguments: str) -> str:
    """What a command prints on stdout."""
    out = io.StringIO()
    with redirect_stdout(out):
        code = run(arguments)
    if code:
        raise SystemExit(f"demo: `reid {shlex.join(arguments)}` ended with {code}")
    return out.getvalue()


def shown(folder: Path) -> Path:
    """A path as short as it can be written from here."""
    try:
        return folder.relative_to(Path.cwd())
    except ValueError:
        return folder


def ingest(people: Path) -> None:
    reid("draw", str(people))
    reid("ingest", str(people / "gallery"), "--collection", "gallery", "--identities", "drawn")
    reid("ingest", str(people / "query"), "--collection", "query", "--identities", "drawn")
    reid("ingest", str(people / "test"), "--collection", "test", "--identities", "drawn-test")


def ask(people: Path, folder: Path) -> None:
    known = {row["name"] for row in json.loads(asked("query", "list", "--format", "json") or "[]")}
    if SET not in known:
        reid("query", "add", SET, str(people / "query"), "--collection", "gallery", "--limit", "10")
    reid(
        "query", "run", SET, "--purpose", "demo", "--first", "12",
        "--sheet", str(folder / "matches.png"), "--html", str(folder / "matches.html"),
    )  # fmt: skip
    # drawn people are no photographs: the model's word on their quality means nothing
    text = str(folder / "reid_test.txt")
    reid("export", "reid-test", "--query-set", SET, "--min-quality", "0", "--out", text)
    csv = folder / "classification_test.csv"
    reid("export", "classification", "--collection", "test", "--out", str(csv))


def measure(people: Path) -> None:
    reid("evaluate", "reid", "--query", "query", "--gallery", "gallery")
    annotations = str(people / "annotations_test.csv")
    document = json.loads(
        asked(
            "evaluate", "attributes", "--collection", "test", "--annotations", annotations,
            "--format", "json",
        )
    )  # fmt: skip
    say(
        f"attributes: mean accuracy {document['mean_accuracy']:.3f} "
        f"(always the majority: {document['majority_accuracy']:.3f}), "
        f"mean balanced accuracy {document['mean_balanced_accuracy']:.3f} (majority: 0.500)"
    )
    say("The shipped model has only seen photographs: on drawings these figures say that it")
    say("works, not how well. `reid model card` has the figures on real people.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "demo")
    folder = shown(parser.parse_args().out.resolve())
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["REID_HOME"] = str(folder.resolve() / "home")
    os.environ["REID_DATABASE_URL"] = ""  # a server that .env names is none of the demo's
    started = time.monotonic()
    people = folder / "people"
    try:
        ingest(people)
        ask(people, folder)
        measure(people)
    finally:
        run(["db", "stop"])
    query = sorted((people / "query").iterdir())[0]
    home = f"--home {folder / 'home'}"
    say(f"\nDone in {time.monotonic() - started:.0f} s. In {folder}/:")
    for name in ("reid_test.txt", "classification_test.csv", "matches.png", "matches.html"):
        say(f"  {name:<24} {(folder / name).stat().st_size:>9,} bytes")
    say("\nTry next:")
    say(f"  .venv/bin/reid {home} search {query} --collection gallery --max-distance auto")
    say(
        f"  .venv/bin/reid {home} search --collection gallery "
        '--where "gender = female and lower_type = dress"'
    )
    say(f"  .venv/bin/reid {home} ingest YOUR/FOLDER --collection mine")


if __name__ == "__main__":
    main()
