"""`harness bench`: this core beside what people would write instead, and the advice beside chance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from harness import paths
from harness.cli.console import beside, show_json
from harness.cli.facts import about
from harness.cli.options import AsJson
from harness.corpus import Corpus, load
from harness.errors import ConfigError, nearest
from harness.lecture import LECTURE_FINGERPRINT

if TYPE_CHECKING:  # the bench loads plots, statistics and optimisers; every other command does without
    from harness.bench.advice import Followed
    from harness.bench.target import ToTarget
    from harness.bench.timing import Row

_SECTIONS = ["steps", "exact", "target", "study", "advice"]


def bench(
    sections: Annotated[
        list[str] | None, typer.Argument(help=f"Some of {', '.join(_SECTIONS)}.", show_default="all")
    ] = None,
    corpus: Annotated[str, typer.Option(help="What to train on; the targets are those of names.")] = "names",
    rounds: Annotated[int, typer.Option(help="Interleaved rounds of steps and exact.", min=3, max=1000)] = 9,
    as_json: AsJson = False,
) -> None:
    """Time this core beside other ways to train the same model; tables and a plot into results/bench/.

    All of it takes some half an hour: six minutes of the lecture's recipe at its own pace, fifteen of advice.
    """
    from harness.bench.write import in_a_line, provenance, write_section

    for section in sections or []:
        if section not in _SECTIONS:
            known = ", ".join(_SECTIONS)
            near = nearest(section, _SECTIONS)
            raise ConfigError(f"a section must be one of {known}; got {section!r}.{near} Name one.")
    data = load(corpus)
    wanted = list(dict.fromkeys(sections or _SECTIONS))
    if data.fingerprint != LECTURE_FINGERPRINT and "target" in wanted:
        if sections:
            raise ConfigError(f"the targets are dev losses on names; got {data.label}. Leave target out, or --corpus.")
        wanted.remove("target")
    made_by = provenance(f"{data.label} {data.fingerprint}")
    to, documents = beside(as_json), {}
    to.print(in_a_line(made_by))
    for section in wanted:
        found: Sequence[Row | ToTarget | Followed]
        match section:
            case "target":
                found = _shown_targets(data, to)
            case "advice":
                found = _shown_advice(data, to)
            case _:
                found = list(_shown_rows(section, data, corpus, rounds, to))
        for path in write_section(paths.results_folder() / "bench", section, found, made_by):
            to.print(f"wrote {path}")
        documents[section] = [asdict(row) for row in found]
    if as_json:
        show_json({**about(data), "made_by": made_by, "sections": documents})


def _shown_rows(section: str, corpus: Corpus, spec: str, rounds: int, to: Console) -> Iterator[Row]:
    from harness.bench.exact import measure_exact
    from harness.bench.steps import measure_steps
    from harness.bench.throughput import measure_throughput
    from harness.bench.timing import one_core

    if section == "study":
        yield from _each(measure_throughput(spec), to)
        return
    with one_core():
        yield from _each(measure_steps(corpus, rounds) if section == "steps" else measure_exact(corpus, rounds), to)


def _each(measured: Iterator[list[Row]], to: Console) -> Iterator[Row]:
    from harness.bench.write import short

    what = ""
    for rows in measured:
        for row in rows:
            if row.what != what:
                what = row.what
                to.print(f"\n{what}")
            figure = row.note if row.median is None else f"{short(row.median):>9} {row.unit}"
            spread = "" if row.low is None else f" ({short(row.low)} to {short(row.high)})"
            ratio = "" if row.times_ours is None else f"  {short(row.times_ours)} times ours"
            goal = f"  (goal: {row.goal})" if row.goal else ""
            to.print(f"  {row.contender:40} {figure}{spread}{ratio}{goal}")
            yield row


def _shown_targets(corpus: Corpus, to: Console) -> list[ToTarget]:
    from harness.bench.target import measure_targets
    from harness.bench.timing import one_core
    from harness.bench.write import short

    to.print("\nTraining seconds to a dev loss (nats per symbol, whole split); takes some seven minutes")
    with one_core():
        targets = measure_targets(corpus)
    for found in targets:
        verdict, p = "reached" if found.stands else "not reached", "" if found.p is None else f", p {found.p:.1e}"
        to.print(
            f"  {found.target:g} {found.recipe:14} {verdict}: {short(found.seconds)} s "
            f"({short(found.low)} to {short(found.high)}) {found.steps:,} steps, {found.parameters:,} parameters, "
            f"{found.reached} of {found.seeds} seeds there, mean dev {found.dev_nats:.4f}{p}"
        )
    return targets


def _shown_advice(corpus: Corpus, to: Console) -> list[Followed]:
    from harness.bench.advice import measure_advice
    from harness.bench.compared import compare
    from harness.bench.timing import one_core

    to.print("\nThe advice followed, and a random change (dev nats per symbol, whole split); some fifteen minutes")
    trials = []
    with one_core():
        for row in measure_advice(corpus):
            trials.append(row)
            told = "" if row.advised_nats is None else f"; {row.advice}: {row.advised_nats:.4f}"
            other = "" if row.changed_nats is None else f"; {row.change}: {row.changed_nats:.4f}"
            to.print(f"  {row.trial:3} {row.kind:10} dev {row.dev_nats:.4f} {row.verdict}{told}{other}")
    for each in compare(trials):
        to.print(
            f"  {each.group}: the advice lowered dev in {each.advice_lowered} of {each.trials}, the random change in "
            f"{each.change_lowered}; the advice ended lower in {each.advice_won} of {each.trials - each.tied}, "
            f"sign test p {each.sign_p:.1e}"
        )
    return trials
