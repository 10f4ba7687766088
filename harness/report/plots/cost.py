"""Figures of cost: dev loss against seconds and against parameters, and training time by outcome."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from harness.lecture import RECIPE
from harness.report import palette
from harness.report.frames import trials_frame
from harness.report.plots import style
from harness.report.plots.plot import Plot
from harness.report.plots.search import focus
from harness.report.results import Results
from harness.words import plural


def cost_frame(results: Results, cost: str) -> pd.DataFrame:
    """Trials and the recipe with their dev loss and one cost, `seconds` or `parameters`.

    `pareto` marks the Pareto front: complete trials for which no other complete trial has a lower dev loss at the
    same or a lower cost.
    """
    frame = trials_frame(results)
    frame = frame[frame["dev_nats"].notna() & frame[cost].notna()]
    frame = frame.assign(run=[f"trial {number}" for number in frame["trial"]])
    complete = frame[frame["status"] == "complete"].sort_values([cost, "dev_nats"])
    best_before = complete["dev_nats"].astype(float).cummin().shift()
    front = complete.index[best_before.isna() | (complete["dev_nats"].astype(float) < best_before)]
    frame = frame.assign(pareto=frame.index.isin(front))[["run", "status", cost, "dev_nats", "pareto"]]
    recipe = results.reference
    if recipe is not None and recipe.dev_nats is not None and getattr(recipe, cost) is not None:
        row = {"run": RECIPE, "status": "recipe", cost: getattr(recipe, cost), "dev_nats": recipe.dev_nats}
        frame = pd.concat([frame, pd.DataFrame([row | {"pareto": False}])])
    return frame.astype({cost: float, "dev_nats": float}).sort_values(cost)


def draw_cost(frame: pd.DataFrame, results: Results, cost: str, axis: str, title: str) -> Figure:
    if frame.empty:
        return style.empty("no trial with a loss yet", results.label)
    figure, (axes,) = style.figure(style.NARROW, 3.9)
    axes.set_title(title)
    for status, (colour, marker) in style.STATUSES.items():
        points = frame[frame["status"] == status]
        if not points.empty:
            looks = {"lw": 1} if marker == "x" else {}
            style.scatter(axes, points[cost], points["dev_nats"], color=colour, marker=marker, label=status, **looks)
    front = frame[frame["pareto"]]
    axes.step(front[cost], front["dev_nats"], where="post", color=palette.ORANGE, lw=1.6, label="Pareto front")
    recipe = frame[frame["status"] == "recipe"]
    if not recipe.empty:
        style.scatter(axes, recipe[cost], recipe["dev_nats"], color=palette.REFERENCE, marker="*", s=130, label=RECIPE)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(style.big_numbers)
    focus(axes, frame["dev_nats"], list(recipe["dev_nats"]))
    axes.set(xlabel=axis, ylabel="dev loss (nats per symbol)")
    style.legend_above(axes, columns=3)
    style.small_print(figure, results.label)
    return figure


def _alt_cost(frame: pd.DataFrame, cost: str) -> str:
    front = frame[frame["pareto"]]
    if front.empty:
        return f"Scatter of {plural(len(frame), 'run')}, dev loss against {cost}; none is complete."
    first, last = front.iloc[0], front.iloc[-1]
    return (
        f"Scatter of {plural(len(frame), 'run')}, dev loss against {cost}. The Pareto front of "
        f"{plural(len(front), 'trial')} goes from {first['run']}, "
        f"{first[cost]:,.4g} {cost} and {first['dev_nats']:.4f} nats, to {last['run']}, "
        f"{last[cost]:,.4g} {cost} and {last['dev_nats']:.4f} nats."
    )


def _compute(results: Results) -> pd.DataFrame:
    """Number of trials and training seconds by status."""
    frame = trials_frame(results)
    frame = frame.assign(seconds=frame["seconds"].astype(float).fillna(0.0))
    table = frame.groupby("status")["seconds"].agg(trials="count", seconds="sum").reset_index()
    table = table.sort_values("seconds", ascending=False)
    return table.assign(share=table["seconds"] / max(table["seconds"].sum(), 1e-9))


def draw_compute(frame: pd.DataFrame, results: Results) -> Figure:
    if frame.empty:
        return style.empty("no trial yet", results.label)
    figure, (axes,) = style.figure(style.NARROW, 0.36 * len(frame) + 1.4)
    colours = [style.STATUSES.get(status, (palette.FRAME, ""))[0] for status in frame["status"]]
    axes.barh(frame["status"], frame["seconds"], color=colours, height=0.66)
    for place, row in enumerate(frame.to_dict("records")):
        text = f"{plural(row['trials'], 'trial')}, {row['seconds']:,.0f} s, {row['share']:.0%}"
        axes.annotate(text, (row["seconds"], place), va="center", fontsize=8, xytext=(4, 0), textcoords="offset points")
    axes.set_xlim(0, 1.55 * float(frame["seconds"].max()) or 1.0)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set(xlabel="seconds of training, all workers together")
    axes.set_title("Where the compute went")
    style.small_print(figure, f"{results.study.pruner} · {results.study.corpus.short}")
    return figure


def _alt_compute(frame: pd.DataFrame) -> str:
    parts = [
        f"{row['status']}: {plural(row['trials'], 'trial')}, {row['seconds']:,.0f} s, {row['share']:.0%}"
        for row in frame.to_dict("records")
    ]
    return f"Bars of training seconds by outcome. {'; '.join(parts)}."


_FRONT = (
    "One mark for each trial; lower and further to the left is better. The orange line is the Pareto front: the lowest "
    "loss of any complete trial with at most that {}. For a trial above the line, another has a lower loss at the "
    "same or a lower cost."
)
SECONDS = Plot(
    "seconds",
    "Loss against seconds",
    f"{_FRONT.format('much time')} Seconds cover training only, with other workers running, so they are rough.",
    partial(cost_frame, cost="seconds"),
    partial(draw_cost, cost="seconds", axis="seconds of training (log scale)", title="Loss against seconds"),
    partial(_alt_cost, cost="seconds"),
)
PARAMETERS = Plot(
    "parameters",
    "Loss against parameters",
    f"{_FRONT.format('many parameters')} Where the line is flat, a larger model does not help.",
    partial(cost_frame, cost="parameters"),
    partial(draw_cost, cost="parameters", axis="parameters (log scale)", title="Loss against parameters"),
    partial(_alt_cost, cost="parameters"),
)
COMPUTE = Plot(
    "compute",
    "Where the compute went",
    "Training time by the status of the trials. Time in pruned trials is the cost of recognising bad configs early. "
    "Time in failed and diverged trials is wasted.",
    _compute,
    draw_compute,
    _alt_compute,
)
