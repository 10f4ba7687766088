"""The benchmark's results as tables and a plot, with their provenance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from harness.bench.advice import Followed
from harness.bench.compared import compared_frame, followed_frame
from harness.bench.target import MOST_P, ToTarget
from harness.bench.timing import Row
from harness.files import replacing, write_atomically
from harness.report import palette
from harness.report.plots import style
from harness.report.tables.table import markdown
from harness.store.provenance import commit, machine, now, versions

if TYPE_CHECKING:  # matplotlib may be imported only after harness.report.plots
    from matplotlib.figure import Figure

SECTIONS = {
    "steps": "Training steps",
    "neighbour": "Training beside a busy process",
    "exact": "Exact losses and contexts",
    "target": "Training seconds to a dev loss",
    "study": "Overhead of a study",
    "advice": "Effect of the advice",
}


def provenance(corpus: str) -> dict[str, str]:
    """Where the figures come from, by name: commit, date, machine, versions, threads, corpus."""
    return {
        "commit": commit() or "unknown",
        "date": now(),
        "machine": machine(),
        **{name: version for name, version in versions().items() if name != "machine"},
        "threads": str(torch.get_num_threads()),
        "corpus": corpus,
    }


def in_a_line(made_by: dict[str, str]) -> str:
    """The provenance as one line for captions."""
    return " · ".join(["harness bench", *(f"{name} {value}" for name, value in made_by.items())])


def write_section(
    folder: Path, section: str, found: Sequence[Row | ToTarget | Followed], made_by: dict[str, str]
) -> list[Path]:
    """Write a section's csv, Markdown and, for steps, plot; then rewrite bench.md from all existing sections.

    Returns:
        The paths of the files written.

    Raises:
        StorageError: the folder cannot be written.
    """
    rows = [row for row in found if isinstance(row, Row)]
    targets = [row for row in found if isinstance(row, ToTarget)]
    trials = [row for row in found if isinstance(row, Followed)]
    match section:
        case "target":
            frame = targets_frame(targets)
            shown = _shown_targets(targets, list(frame["times_ours"]))
        case "advice":
            frame, shown = followed_frame(trials), compared_frame(trials)
        case _:
            frame, shown = frame_of(rows), _shown(rows)
    table = markdown(list(shown.columns), shown.astype(str).to_numpy().tolist())
    text = f"## {SECTIONS[section]}\n\n{_NOTES[section]}\n\n{table}\n\n{in_a_line(made_by)}\n"
    written = [folder / f"{section}.csv", folder / f"{section}.md"]
    write_atomically(written[0], frame.assign(**made_by).to_csv(index=False))
    write_atomically(written[1], text)
    steps = [row for row in rows if row.section == "steps" and row.median is not None]
    if steps:
        written.append(folder / "steps.png")
        with style.look(), replacing(written[-1]) as path:
            draw_steps(steps, in_a_line(made_by)).savefig(path)
    existing = [folder / f"{name}.md" for name in SECTIONS if (folder / f"{name}.md").is_file()]
    write_atomically(
        folder / "bench.md", "\n".join(["# Bench\n", *(path.read_text(encoding="utf-8") for path in existing)])
    )
    return [*written, folder / "bench.md"]


_ROUNDS = (
    "Medians over interleaved repeats, with their range. `times ours` is the median ratio of the time to ours in the "
    "same repeat; above 1 is slower than ours. One thread on one core."
)
_NOTES = {
    "steps": (
        f"{_ROUNDS} With dropout, examples with equal contexts share their mask in ours; the others draw a mask for "
        "each example. The limits are the step's matrix products alone, at the speed of one large product."
    ),
    "neighbour": (
        "Medians over interleaved repeats, with their range. `times ours` is the median ratio of the time to that of "
        "one thread in the same repeat. The neighbour is one process that computes without end. All cores may be used."
    ),
    "exact": f"{_ROUNDS} Both ways agree to 1e-6 nats per symbol.",
    "target": (
        "Training time only: for both, the clock starts after the corpus is prepared and stops during evaluation. "
        "Ours: the number of steps is fixed before the run and the same for all fresh seeds. The target is reached if "
        f"the mean dev loss is below it with a one-sided p below {MOST_P}. The lecture's recipe runs in its own loop "
        "and is scored every 1,000 steps. A seed that never reaches the target counts with its whole run. Seconds "
        "are medians over the seeds, and the configs take turns, seed by seed."
    ),
    "study": "Real studies with worker processes; medians with their range.",
    "advice": (
        "Cheap real trials, drawn at random, some of them deliberately bad. Each trial is judged. Then the advice is "
        "followed once, and one random change of the same trial is made with the same seed: first a knob is drawn, "
        "then one of its moves, all equally likely, from the moves that the advice chooses from. Changes are in dev "
        "nats per symbol; below 0 is better. p is two-sided. McNemar's test asks whether both lowered dev equally "
        "often; the other two ask which of them gave the lower dev. The constants and moves of the advice were chosen "
        "on trials with other seeds before these trials were looked at. A change of budget costs or saves training "
        "time, so one row leaves out the trials with such a change on either side."
    ),
}


def frame_of(rows: Sequence[Row]) -> pd.DataFrame:
    """Rows as a table; the columns are the fields of `Row`."""
    return pd.DataFrame([asdict(row) for row in rows])


def targets_frame(targets: Sequence[ToTarget]) -> pd.DataFrame:
    """One row per target and config, with its time relative to ours."""
    frame = pd.DataFrame([asdict(target) for target in targets])
    ours = frame[frame["recipe"] == "ours"].set_index("target")["seconds"]
    times_ours = frame["seconds"] / frame["target"].map(ours)
    return frame.assign(stands=[row.stands for row in targets], times_ours=times_ours)


def _shown(rows: Sequence[Row]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "what": [row.what for row in rows],
            "contender": [row.contender for row in rows],
            "median": [row.note if row.median is None else f"{short(row.median)} {row.unit}" for row in rows],
            "range": ["" if row.low is None else f"{short(row.low)} to {short(row.high)}" for row in rows],
            "times ours": [short(row.times_ours) for row in rows],
            "goal": [row.goal for row in rows],
        }
    )


def _shown_targets(rows: Sequence[ToTarget], times_ours: Sequence[float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "dev target (nats)": [f"{row.target:g}" for row in rows],
            "recipe": [row.recipe for row in rows],
            "parameters": [f"{row.parameters:,}" for row in rows],
            "reached": ["yes" if row.stands else "no" for row in rows],
            "seconds, median (range)": [
                f"{_more(row)}{short(row.seconds)} ({short(row.low)} to {short(row.high)})" for row in rows
            ],
            "times ours": [f"{_more(row)}{short(value)}" for row, value in zip(rows, times_ours, strict=True)],
            "steps": [f"{row.steps:,}" for row in rows],
            "seeds that reached it": [f"{row.reached} of {row.seeds}" for row in rows],
            "final mean dev": [f"{row.dev_nats:.4f}" for row in rows],
            "p": ["" if row.p is None or math.isnan(row.p) else f"{row.p:.1e}" for row in rows],
        }
    )


def _more(row: ToTarget) -> str:
    """A `>` before the time of a config that did not reach its target, since it would need more time."""
    return "" if row.stands else "> "


def short(value: float | None) -> str:
    """A number with three digits; an empty string for None and NaN."""
    if value is None or math.isnan(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def draw_steps(rows: Sequence[Row], made_by: str) -> Figure:
    """Bars of microseconds per step, one panel per shape. Whiskers show the range over the repeats."""
    shapes = list(dict.fromkeys(row.what for row in rows))
    lines = math.ceil(len(shapes) / 2)
    figure, axes = style.figure(14, 1.4 + 2.8 * lines, columns=2, rows=lines)
    figure.suptitle(
        "Microseconds per step: median, whiskers from the fastest to the slowest repeat\n"
        "(B batch, T context length, E embedding size, H hidden width)",
        x=0.01,
        ha="left",
    )
    for axis in axes[len(shapes) :]:
        axis.set_axis_off()
    for axis, shape in zip(axes, shapes, strict=False):
        shown = [row for row in rows if row.what == shape]
        medians = [row.median or 0.0 for row in shown]
        below = [(row.median or 0.0) - (row.low or 0.0) for row in shown]
        above = [(row.high or 0.0) - (row.median or 0.0) for row in shown]
        colors = [_color(row) for row in shown]
        axis.barh([row.contender for row in shown], medians, xerr=[below, above], color=colors, ecolor=palette.GREY)
        axis.invert_yaxis()
        axis.grid(axis="y", visible=False)
        axis.set(title=_label(shape), xlabel="µs per step")
        axis.locator_params(axis="x", nbins=5)
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axis.set_xlim(0, 1.6 * max(row.high or 0.0 for row in shown))
        for place, row in enumerate(shown):
            text = f" {short(row.median)}  ({short(row.times_ours)} times ours)"
            axis.text(row.high or 0.0, place, text, va="center", fontsize=8, color=palette.GREY)
    style.small_print(figure, made_by)
    return figure


def _label(shape: str) -> str:
    batch, context, embedding, hidden, rest = shape.split(", ", maxsplit=4)
    return f"B {batch}, T {context}, E {embedding}, H {hidden}, {rest}"


def _color(row: Row) -> str:
    if row.contender.startswith("ours"):
        return palette.BLUE
    return "#d0d0d0" if row.contender.startswith("limit") else palette.SKY
