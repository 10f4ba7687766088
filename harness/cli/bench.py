"""`harness bench`: this trainer compared with other implementations, and the advice compared with chance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console

from harness import paths
from harness.bench import advice, exact, neighbour, steps, target, throughput
from harness.bench.compared import compare
from harness.bench.timing import Row, one_core
from harness.bench.write import in_a_line, provenance, short, write_section
from harness.cli.console import progress_console, show_json
from harness.cli.ideas import run_ideas
from harness.cli.json_header import json_header
from harness.corpus import Corpus, load
from harness.errors import ConfigError, nearest
from harness.lecture import LECTURE_FINGERPRINT
from harness.store.quiet import quiet_optuna
from harness.train.threads import one_thread
from harness.words import plural

_SECTIONS = ["steps", "neighbour", "exact", "target", "study", "advice"]
_LONG = ["ideas", "ideas-best", "ideas-cost"]
"""Sections that run only if they are named: they take hours, resume, and add to committed files."""


@quiet_optuna()
@one_thread()
def run_bench(sections: list[str] | None, corpus_name: str, repeats: int, *, as_json: bool) -> None:
    """Measure the sections, print them, and write them to results/bench/."""
    for section in sections or []:
        if section not in [*_SECTIONS, *_LONG]:
            known = ", ".join([*_SECTIONS, *_LONG])
            near = nearest(section, [*_SECTIONS, *_LONG])
            raise ConfigError(f"a section must be one of {known}; got {section!r}.{near} Name one.")
    if set(sections or []) & set(_LONG):
        run_ideas(sections or [], as_json=as_json)
        return
    corpus = load(corpus_name)
    chosen = list(dict.fromkeys(sections or _SECTIONS))
    if corpus.fingerprint != LECTURE_FINGERPRINT and "target" in chosen:
        if sections:
            raise ConfigError(
                f"the targets are dev losses on names; got {corpus.label}. Leave out target, or --corpus."
            )
        chosen.remove("target")
    made_by = provenance(f"{corpus.label} {corpus.fingerprint}")
    to, documents = progress_console(as_json), dict[str, list[dict[str, Any]]]()
    to.print(in_a_line(made_by))
    for section in chosen:
        rows = _measured(section, corpus, corpus_name, repeats, to)
        for path in write_section(paths.results_folder() / "bench", section, rows, made_by):
            to.print(f"wrote {path}")
        documents[section] = [asdict(row) for row in rows]
    if as_json:
        show_json({**json_header(corpus), "made_by": made_by, "sections": documents})


def _measured(
    section: str, corpus: Corpus, corpus_name: str, repeats: int, to: Console
) -> Sequence[Row | target.ToTarget | advice.Followed]:
    """Measure one section, printing as it goes."""
    if section == "study":  # starts worker processes, which need all cores
        return list(_printed(throughput.measure_throughput(corpus_name), to))
    if section == "neighbour":  # the neighbour needs a core
        return list(_printed(neighbour.measure_neighbour(corpus, repeats), to))
    with one_core():
        match section:
            case "target":
                return _measured_targets(corpus, to)
            case "advice":
                return _measured_advice(corpus, to)
            case "steps":
                return list(_printed(steps.measure_steps(corpus, repeats), to))
            case _:
                return list(_printed(exact.measure_exact(corpus, repeats), to))


def _printed(measured: Iterator[list[Row]], to: Console) -> Iterator[Row]:
    """Print each row as soon as it is measured, under a title for each group, and pass it on."""
    title = ""
    for rows in measured:
        for row in rows:
            if row.what != title:
                title = row.what
                to.print(f"\n{title}")
            figure = row.note if row.median is None else f"{short(row.median):>9} {row.unit}"
            spread = "" if row.low is None else f" ({short(row.low)} to {short(row.high)})"
            ratio = "" if row.times_ours is None else f"  {short(row.times_ours)} times ours"
            goal = f"  (goal: {row.goal})" if row.goal else ""
            to.print(f"  {row.contender:40} {figure}{spread}{ratio}{goal}")
            yield row


def _measured_targets(corpus: Corpus, to: Console) -> list[target.ToTarget]:
    to.print("\nTraining seconds to a dev loss (nats per symbol, whole split); takes about seven minutes")
    targets = target.measure_targets(corpus)
    for row in targets:
        outcome, p = "reached" if row.stands else "not reached", "" if row.p is None else f", p {row.p:.1e}"
        to.print(
            f"  {row.target:g} {row.recipe:14} {outcome}: {short(row.seconds)} s "
            f"({short(row.low)} to {short(row.high)}) {row.steps:,} steps, {row.parameters:,} parameters, "
            f"{row.reached} of {plural(row.seeds, 'seed')} reached it, mean dev {row.dev_nats:.4f}{p}"
        )
    return targets


def _measured_advice(corpus: Corpus, to: Console) -> list[advice.Followed]:
    to.print("\nThe advice and a random change (dev nats per symbol, whole split); takes about fifteen minutes")
    trials = []
    for row in advice.measure_advice(corpus):
        trials.append(row)
        advised = "" if row.advised_nats is None else f"; {row.advice}: {row.advised_nats:.4f}"
        changed = "" if row.changed_nats is None else f"; {row.change}: {row.changed_nats:.4f}"
        to.print(f"  {row.trial:3} {row.kind:10} dev {row.dev_nats:.4f} {row.verdict}{advised}{changed}")
    for group in compare(trials):
        to.print(
            f"  {group.group}: the advice lowered dev in {group.advice_lowered} of {group.trials}, the random change "
            f"in {group.change_lowered}; the advice ended lower in {group.advice_won} of {group.trials - group.tied}, "
            f"sign test p {group.sign_p:.1e}"
        )
    return trials
