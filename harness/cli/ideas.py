"""`harness bench ideas` and `ideas-cost`: measure what is missing, then write docs/ideas.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from harness.bench.ideas.catalogue import IDEAS, REFERENCE
from harness.bench.ideas.cost import measure_costs
from harness.bench.ideas.page import COSTS, write_page
from harness.bench.ideas.runs import CORPORA, measure
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
            f"the ideas are measured on their own corpora, for hours; got {', '.join(others)} too. Name ideas alone."
        )
    to, added = progress_console(as_json), []
    if "ideas" in sections:
        for run in measure([load(name) for name in CORPORA], [REFERENCE, *IDEAS]):
            to.print(
                f"{run.corpus:9} {run.idea:50} train {run.train_nats:.4f}  dev {run.dev_nats:.4f}  mixed "
                f"{run.mixed_nats:.4f} (nats per symbol)  {run.seconds:.1f} s"
            )
            added.append(asdict(run))
            write_page()  # after every row, so that rows and page agree whenever this is stopped
    if "ideas-cost" in sections:
        with one_core():
            for cost in measure_costs(folder() / COSTS, load(CORPORA[0]), [REFERENCE, *IDEAS]):
                to.print(f"{cost.idea:60} {cost.ms_per_step:.2f} ms per step, {cost.times_base:.2f} times the base")
                added.append(asdict(cost))
                write_page()
    to.print(f"wrote {write_page()}")
    if as_json:
        show_json({"added": added})
