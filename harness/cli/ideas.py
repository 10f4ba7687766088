"""`harness bench ideas`, `ideas-best` and `ideas-cost`: measure what is missing, then write docs/ideas.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console

from harness.bench.ideas.catalogue import BEST, IDEAS, REFERENCE
from harness.bench.ideas.cost import measure_costs
from harness.bench.ideas.page import COSTS, write_page
from harness.bench.ideas.runs import BEST_SEEDS, CORPORA, Run, measure
from harness.bench.ideas.table import folder
from harness.bench.timing import one_core
from harness.cli.console import progress_console, show_json
from harness.corpus import load
from harness.errors import ConfigError


def run_ideas(sections: Sequence[str], *, as_json: bool) -> None:
    """Train or time the ideas that have no row yet. Each row is stored when it is known; run it again to resume.

    Raises:
        ConfigError: other sections are named too.
    """
    if others := [section for section in sections if not section.startswith("ideas")]:
        raise ConfigError(
            f"the ideas take hours and cannot run with other sections; got {', '.join(others)} too. Name ideas alone."
        )
    to, added = progress_console(as_json), []
    if "ideas" in sections:
        runs = measure([load(name) for name in CORPORA], [REFERENCE, *IDEAS])
        added += list(_written(runs, to))
    if "ideas-best" in sections:
        with one_core():
            added += list(_written(measure([load(CORPORA[0])], BEST, BEST_SEEDS), to))
    if "ideas-cost" in sections:
        with one_core():
            for cost in measure_costs(folder() / COSTS, load(CORPORA[0]), [REFERENCE, *IDEAS]):
                to.print(f"{cost.idea:60} {cost.ms_per_step:.2f} ms per step, {cost.times_base:.2f} times the base")
                added.append(asdict(cost))
                write_page()
    to.print(f"wrote {write_page()}")
    if as_json:
        show_json({"added": added})


def _written(runs: Iterator[Run], to: Console) -> Iterator[dict[str, Any]]:
    """Print each run as soon as it is known, and write the page, so that rows and page agree whenever this stops."""
    for run in runs:
        to.print(
            f"{run.corpus:9} {run.idea:50} train {run.train_nats:.4f}  dev {run.dev_nats:.4f}  mixed "
            f"{run.mixed_nats:.4f} (nats per symbol)  {run.seconds:.1f} s"
        )
        write_page()
        yield asdict(run)
