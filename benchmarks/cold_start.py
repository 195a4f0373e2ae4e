"""What a cold command costs beside what it must import: CPU seconds, ratios within one run.

.venv/bin/python benchmarks/cold_start.py --home HOME --collection NAME --stored A --new B
"""

import argparse
import os
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent


def cpu_seconds(arguments: list[str], repeats: int = 5) -> float:
    """Median user and system time of a child process and its threads."""
    found = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True, cwd=ROOT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", required=True, help="REID_HOME with a collection in it")
    parser.add_argument("--collection", required=True)
    parser.add_argument("--stored", required=True, help="an image that is in it")
    parser.add_argument("--new", required=True, help="an image that is not stored")
    given = parser.parse_args()
    os.environ["REID_HOME"] = given.home
    search = ["cli.py", "search", "--collection", given.collection, "--limit", "5"]
    torch = cpu_seconds(["-c", "import torch"])
    rows = {
        "python -c pass": cpu_seconds(["-c", "pass"]),
        "reid --help": cpu_seconds(["cli.py", "--help"]),
        "import sqlalchemy, psycopg, numpy": cpu_seconds(
            ["-c", "import sqlalchemy.orm, psycopg, numpy"]
        ),
        "import torch": torch,
        "import torch, torchvision": cpu_seconds(["-c", "import torch, torchvision"]),
        "reid search, stored image": cpu_seconds([*search, given.stored]),
        "reid search, new image": cpu_seconds([*search, given.new]),
    }
    print(f"{'what':<36} {'CPU s':>7} {'/ torch':>8}")
    for name, seconds in rows.items():
        print(f"{name:<36} {seconds:>7.2f} {seconds / torch:>8.2f}")


if __name__ == "__main__":
    main()
