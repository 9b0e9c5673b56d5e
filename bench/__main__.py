"""`python -m bench`: measure everything side by side, print it, write `build/bench.json`.

`--only PART` measures one part (or all whose names begin so), `--quick` takes short single rounds and
a tenth of the long past, `--write-docs` writes the last results into docs/ and measures nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from bench import fleet, growth, intake, latency, playbooks, report, scale_out, steps
from bench.chart import svg
from bench.contest import Field
from bench.figure import NotMeasured
from bench.result import Result
from bench.servers import postgres, redis

_NEEDS_SERVERS = ("steps.postgres", "steps.celery", "start.celery", "scale")


def parts(ground: Field, quick: bool) -> Mapping[str, Callable[[], list[Result]]]:
    """What can be measured, by name; the ids of a part's results begin with its name."""
    starts, share = (15, 0.1) if quick else (50, 1.0)
    return {
        "steps.sqlite.1": lambda: steps.on_sqlite(ground, 1),
        "steps.sqlite.8": lambda: steps.on_sqlite(ground, 8),
        "steps.postgres.1": lambda: steps.on_postgres(ground, 1),
        "steps.postgres.8": lambda: steps.on_postgres(ground, 8),
        "steps.celery.1": lambda: steps.beside_celery(ground, 1),
        "steps.celery.8": lambda: steps.beside_celery(ground, 8),
        "start.embedded": lambda: latency.first_call(ground, starts, scale=False),
        "start.celery": lambda: latency.first_call(ground, starts, scale=True),
        "alerts": lambda: intake.alerts(ground),
        "growth": lambda: growth.growth(ground, share),
        "parked": lambda: growth.parked(ground, share),
        "playbook": lambda: playbooks.playbooks(ground),
        "scale.nodes": lambda: scale_out.scale_out(ground, workers=False),
        "scale.workers": lambda: scale_out.scale_out(ground, workers=True),
    }


def measure(only: str, quick: bool, rounds: int) -> list[Result]:
    """Measure the wanted parts, one after another; what was measured is written down after each."""
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="soar-bench-") as path, ExitStack() as stack:
        folder = Path(path)
        folder.chmod(0o711)  # PostgreSQL does not run as root, and must reach its own folder
        ground = Field(folder, seconds=1.0 if quick else 2.0, rounds=1 if quick else rounds)
        every = parts(ground, quick)
        wanted = {name: part for name, part in every.items() if name.startswith(only) or only.startswith(f"{name}.")}
        if not wanted:
            raise SystemExit(f"there is no part {only!r}; there are: {', '.join(every)}")
        if any(name.startswith(_NEEDS_SERVERS) for name in wanted):
            try:
                ground.postgres = stack.enter_context(postgres(folder))
                ground.redis = stack.enter_context(redis(folder))
            except (NotMeasured, ImportError, OSError) as reason:
                ground.missing = str(reason)
        for place, (name, part) in enumerate(wanted.items(), 1):
            ground.say(f"--- {name} ({place} of {len(wanted)})")
            results += part()
            report.save(results, report.QUICK if quick else report.FILE)
    return results


def write_docs() -> None:
    """Write the last results into the pages and draw the chart."""
    entries = report.load()
    if not entries:
        raise SystemExit("there is no build/bench.json: run make bench first")
    docs = report.ROOT / "docs"
    days = max(entry["measured"] for entry in entries)
    (docs / "speed.svg").write_text(svg(entries, f"{report.machine()}, measured {days}"), encoding="utf-8")
    report.fill_in(docs / "speed.md", "measured", report.markdown(entries))
    report.fill_in(docs / "fleet.md", "reckoned", fleet.markdown(entries))


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", default="", metavar="PART", help="one part, or all whose names begin so")
    parser.add_argument("--quick", action="store_true", help="short single rounds, a tenth of the long past")
    parser.add_argument("--rounds", type=int, default=3, help="rounds for each contest, in turn (default 3)")
    parser.add_argument("--write-docs", action="store_true", help="only write the last results into docs/")
    options = parser.parse_args()
    if options.write_docs:
        write_docs()
        return
    results = measure(options.only, options.quick, options.rounds)
    entries = [result.plain("") for result in results]
    sys.stdout.write(f"\n{report.machine()}\n\n{report.table(entries)}\n\n{report.beside_table(entries)}\n")


if __name__ == "__main__":
    main()
