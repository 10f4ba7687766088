"""The bench's figures as tables, a plot, and a note of what made them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch
from matplotlib.figure import Figure

from harness.bench.target import ToTarget
from harness.bench.timing import Row
from harness.files import replacing, write_atomically
from harness.report import style
from harness.search.environment import commit, machine, now, versions


def provenance(corpus: str) -> str:
    """One line: command, commit, date, machine, versions, threads, corpus."""
    libraries = ", ".join(f"{name} {version}" for name, version in versions().items() if name != "machine")
    return (
        f"harness bench · commit {commit() or 'unknown'} · {now()} · {machine()} · {libraries} · "
        f"{torch.get_num_threads()} thread on one core (the study rows on all) · {corpus}"
    )


def frame_of(rows: Sequence[Row]) -> pd.DataFrame:
    """Rows as a table; columns as `Row` has them."""
    return pd.DataFrame([asdict(row) for row in rows])


def targets_frame(targets: Sequence[ToTarget]) -> pd.DataFrame:
    """One row per target and recipe, with how many times longer it took than ours."""
    frame = pd.DataFrame([asdict(target) for target in targets])
    ours = frame[frame["recipe"] == "ours"].set_index("target")["seconds"]
    frame["times_ours"] = frame["seconds"] / frame["target"].map(ours)
    return frame


def write_bench(folder: Path, rows: Sequence[Row], targets: Sequence[ToTarget], made_by: str) -> list[Path]:
    """bench.csv, targets.csv, bench.md and a bar plot, whatever was measured of them; returns what was written."""
    written = []
    parts = ["# Bench\n", made_by + "\n"]
    if rows:
        frame = frame_of(rows)
        written += [_csv(folder / "bench.csv", frame)]
        parts += ["Medians of interleaved rounds with their range. `times ours` above 1 is slower than ours.\n"]
        parts += [_shown(rows).to_markdown(index=False, disable_numparse=True) + "\n"]
    if targets:
        frame = targets_frame(targets)
        written += [_csv(folder / "targets.csv", frame)]
        parts += [
            "## Training seconds to a dev loss\n",
            _shown_targets(targets, list(frame["times_ours"])).to_markdown(index=False, disable_numparse=True) + "\n",
        ]
    write_atomically(folder / "bench.md", "\n".join(parts))
    written.append(folder / "bench.md")
    steps = [row for row in rows if row.section == "steps" and row.median is not None]
    if steps:
        with style.look(), replacing(folder / "steps.png") as path:
            draw_steps(steps, made_by).savefig(path)
        written.append(folder / "steps.png")
    return written


def _csv(path: Path, frame: pd.DataFrame) -> Path:
    write_atomically(path, frame.to_csv(index=False))
    return path


def _shown(rows: Sequence[Row]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "what": [row.what for row in rows],
            "contender": [row.contender for row in rows],
            "median": [row.note if row.median is None else f"{short(row.median)} {row.unit}" for row in rows],
            "range": ["" if row.low is None else f"{short(row.low)} to {short(row.high)}" for row in rows],
            "times ours": [short(row.times_ours) for row in rows],
            "asked": [row.asked for row in rows],
        }
    )


def _shown_targets(rows: Sequence[ToTarget], times_ours: Sequence[float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "dev target (nats)": [f"{row.target:g}" for row in rows],
            "recipe": [row.recipe for row in rows],
            "parameters": [f"{row.parameters:,}" for row in rows],
            "seconds, median (range)": [
                f"{short(row.seconds)} ({short(row.low)} to {short(row.high)})" for row in rows
            ],
            "times ours": [short(value) for value in times_ours],
            "steps": [f"{row.steps:,}" for row in rows],
            "seeds there": [f"{row.reached} of {row.seeds}" for row in rows],
            "mean dev at the end": [f"{row.dev_nats:.4f}" for row in rows],
            "p": ["" if row.p is None or math.isnan(row.p) else f"{row.p:.1e}" for row in rows],
        }
    )


def short(value: float | None) -> str:
    """Three digits, or nothing."""
    if value is None or math.isnan(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def draw_steps(rows: Sequence[Row], made_by: str) -> Figure:
    """Bars of microseconds a step, one panel per shape; whiskers are the range over the rounds."""
    shapes = list(dict.fromkeys(row.what for row in rows))
    figure, axes = style.figure(11, 1.2 + 2.6 * math.ceil(len(shapes) / 2), columns=2, rows=math.ceil(len(shapes) / 2))
    for axis, shape in zip(axes, shapes, strict=False):
        shown = [row for row in rows if row.what == shape]
        medians = [row.median or 0.0 for row in shown]
        below = [(row.median or 0.0) - (row.low or 0.0) for row in shown]
        above = [(row.high or 0.0) - (row.median or 0.0) for row in shown]
        colors = [_color(row) for row in shown]
        axis.barh([row.contender for row in shown], medians, xerr=[below, above], color=colors, ecolor=style.GREY)
        axis.invert_yaxis()
        axis.grid(axis="y", visible=False)
        axis.set(title=f"batch, context, embedding, hidden: {shape}", xlabel="µs a step (median; whiskers: range)")
        axis.set_xlim(0, 1.25 * max(row.high or 0.0 for row in shown))
        for place, row in enumerate(shown):
            text = f" {short(row.median)}  ({short(row.times_ours)} times ours)"
            axis.text(row.high or 0.0, place, text, va="center", fontsize=8, color=style.GREY)
    style.small_print(figure, made_by)
    return figure


def _color(row: Row) -> str:
    if row.contender.startswith("ours"):
        return style.BLUE
    return "#d0d0d0" if row.contender.startswith("limit") else style.SKY
