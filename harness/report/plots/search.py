"""Figures of the whole search: history, importance of the parameters, and a slice for each parameter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from harness.lecture import RECIPE
from harness.report import palette
from harness.report.frames import (
    FEW_TRIALS,
    complete_frame,
    history_frame,
    importance_frame,
    is_log,
    search_columns,
)
from harness.report.parameters import levels_of_study
from harness.report.plots import style
from harness.report.plots.curves import counted
from harness.report.plots.plot import Plot
from harness.report.results import Results
from harness.report.tables.table import short
from harness.words import plural

_FEWEST = 3
"""Trials that must have a conditional parameter for its slice to be drawn."""
TOO_FEW = "too few complete trials to rank the parameters"


def draw_history(frame: pd.DataFrame, results: Results) -> Figure:
    if frame["nats"].notna().sum() == 0:
        return style.empty("no trial with a loss yet", results.label)
    figure, (axes,) = style.figure(style.NARROW, 3.9)
    axes.set_title("The search in order")
    for status, (colour, marker) in style.STATUSES.items():
        points = frame[(frame["status"] == status) & frame["nats"].notna()]
        if not points.empty:
            looks = {"lw": 1} if marker == "x" else {}
            style.scatter(axes, points["trial"], points["nats"], color=colour, marker=marker, label=status, **looks)
    axes.step(frame["trial"], frame["best_so_far"], where="post", color=palette.BLUE, lw=1.4, label="best so far")
    recipe = [] if results.reference_nats is None else [results.reference_nats]
    for nats in recipe:
        axes.axhline(nats, color=palette.REFERENCE, lw=1.1, ls=":", label=f"{RECIPE}, {nats:.3f}")
    focus(axes, frame["nats"], recipe)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    mixed = "mixed " if results.study.objective == "mixed" else ""
    axes.set(xlabel="trial", ylabel=f"{mixed}dev loss (nats per symbol)")
    style.legend_above(axes, columns=3)
    style.small_print(figure, f"trials that were stopped early are drawn at their last loss · {results.label}")
    return figure


def focus(axes: Axes, losses: pd.Series, marks: list[float]) -> None:
    """End the axis above the marks and nine tenths of the losses, so that a few high ones do not flatten the rest."""
    losses = losses.dropna().astype(float)
    low, high = float(losses.min()), max([float(losses.quantile(0.9)), *marks])
    margin = 0.06 * (high - low) or 0.01
    axes.set_ylim(low - margin, high + margin)


def _alt_history(frame: pd.DataFrame) -> str:
    best = frame["best_so_far"].dropna()
    ended = f"Dev loss of {plural(len(frame), 'trial')} in order: {counted(frame['status'].value_counts())}."
    if best.empty:
        return ended
    reached = int(frame.loc[frame["nats"] == best.iloc[-1], "trial"].iloc[0])
    return f"{ended} The lowest of a complete trial is {best.iloc[-1]:.4f}, at trial {reached}."


def draw_importance(frame: pd.DataFrame, results: Results) -> Figure:
    if frame.empty:
        return style.empty(TOO_FEW, results.label)
    figure, (axes,) = style.figure(style.NARROW, 0.32 * len(frame) + 1.5)
    sns.barplot(frame, x="importance", y="parameter", color=palette.SKY, saturation=1, ax=axes)
    axes.hlines(range(len(frame)), frame["low"], frame["high"], color=palette.INK, lw=1.2)
    axes.axvline(1 / len(frame), color=palette.GREY, lw=1, ls=":")
    axes.set(xlabel="importance (share of the total)", ylabel="")
    axes.set_title("Importance of the parameters")
    n = int(frame["n"].iloc[0])
    few = f", too few to be reliable (at least {FEW_TRIALS} are needed)" if n < FEW_TRIALS else ""
    of = " of the mixed loss" if results.study.objective == "mixed" else ""
    text = f"PED-ANOVA{of}, n={plural(n, 'complete trial')}{few}; lines: 90 % of resamples; dotted line: chance"
    style.small_print(figure, f"{text}\n{results.label}")
    return figure


def _alt_importance(frame: pd.DataFrame) -> str:
    shares = [f"{row.parameter} {row.importance:.0%} ({row.low:.0%} to {row.high:.0%})" for row in frame.itertuples()]
    return f"Bars of importance over {plural(int(frame['n'].iloc[0]), 'complete trial')}: {', '.join(shares)}."


def by_parameter(results: Results) -> pd.DataFrame:
    """Complete trials with their dev nats and a column for each parameter of the search space.

    A parameter without a numeric scale is categorical, with its choices as text and in their order.
    """
    frame = complete_frame(results)
    frame = frame[["trial", "dev_nats", *search_columns(results, frame)]]
    for column, levels in levels_of_study(results.study).items():
        if column in frame:
            texts = [None if pd.isna(value) else str(value) for value in frame[column]]
            frame = frame.assign(**{column: pd.Categorical(texts, categories=levels)})
    return frame


def draw_slices(frame: pd.DataFrame, results: Results) -> Figure:
    names = [name for name in frame.columns[2:] if frame[name].notna().sum() >= _FEWEST]
    if frame.empty or not names:
        return style.empty("no complete trial yet", results.label)
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure, axes = style.figure(style.WIDE, 2.0 * rows + 0.7, columns=columns, rows=rows, sharey=True)
    for axis, name in zip(axes, names, strict=False):
        points = frame[frame[name].notna()]
        x = _scaled_axis(axis, points[name], name, results)
        order = points["trial"].rank(pct=True)
        looks = {"c": order, "cmap": style.level_map(), "vmin": 0, "vmax": 1}
        style.scatter(axis, x, points["dev_nats"], **looks)
        axis.set_xlabel(style.as_written(f"{name} (n={len(points)})"))
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    focus(axes[0], frame["dev_nats"], [])
    for axis in axes[::columns]:
        axis.set_ylabel("dev loss (nats)")
    figure.suptitle("One slice for each parameter", x=0.01, ha="left", weight="bold", size=10)
    rare = [name for name in frame.columns[2:] if name not in names]
    left_out = f"not shown, since fewer than {_FEWEST} trials have it: {', '.join(rare)} · " if rare else ""
    style.small_print(
        figure, f"n={plural(len(frame), 'complete trial')}; later ones are darker · {left_out}{results.label}"
    )
    return figure


def _scaled_axis(axes: Axes, values: pd.Series, name: str, results: Results) -> pd.Series:
    """Set the axis to the parameter's own scale; returns the values' positions on it."""
    levels = levels_of(values)
    if levels is not None:
        axes.set_xticks(range(len(levels)), [style.as_written(short(level)) for level in levels])
        axes.set_xlim(-0.5, len(levels) - 0.5)
        axes.tick_params(axis="x", rotation=28 if len(levels) > 4 else 0, labelsize=7.5)
        return values.astype(object).map({level: place for place, level in enumerate(levels)})
    if is_log(results, name):
        axes.set_xscale("log")
        decades = float(np.log10(values.max() / values.min()))
        axes.xaxis.set_major_locator(LogLocator(subs=(1,) if decades > 2.5 else (1, 3) if decades > 1 else (1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")
    else:
        whole = bool((values == values.round()).all())
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=whole))
    return values


def levels_of(values: pd.Series) -> list[Any] | None:
    """The choices that occur of a parameter of `by_parameter`, in order; None for one with a numeric scale."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        there = set(values.dropna())
        return [level for level in values.dtype.categories if level in there]
    return sorted(values.unique()) if values.name == "batch_size" else None


def _alt_slices(frame: pd.DataFrame) -> str:
    best = frame.sort_values("dev_nats").iloc[0]
    values = ", ".join(f"{name} {short(best[name])}" for name in frame.columns[2:] if pd.notna(best[name]))
    n, number = len(frame), best["trial"]
    return f"Dev loss of {plural(n, 'complete trial')} against each parameter. The best, trial {number}, has {values}."


HISTORY = Plot(
    "history",
    "The search in order",
    "One mark for each trial, from first to last; lower is better. The step line is the best complete trial so far. If "
    "it has been flat for a long time, more trials of this search will probably gain little.",
    history_frame,
    draw_history,
    _alt_history,
)
IMPORTANCE = Plot(
    "importance",
    "Importance of the parameters",
    "A long bar means that the best tenth of the trials differs from the rest in this parameter. The thin line is the "
    "range over resampled trials; if it extends to the left of the dotted line, the importance may be due to chance. "
    "Parameters that only some trials have cannot be compared and are not shown.",
    importance_frame,
    draw_importance,
    _alt_importance,
)
SLICES = Plot(
    "slices",
    "One slice for each parameter",
    "Each panel shows the same trials against one parameter; lower is better. A valley shows the best values of that "
    "parameter. If the lowest points are at an end of the range, extend the range there. Darker points are later "
    "trials, when the search had more information.",
    by_parameter,
    draw_slices,
    _alt_slices,
    wide=True,
)
