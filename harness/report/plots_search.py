"""Figures of the search seen whole: history, importance, slices, parallel coordinates, two parameters at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator

from harness.report import style
from harness.report.frames import (
    FEW_TRIALS,
    complete_frame,
    history_frame,
    importance_frame,
    is_log,
    lines_frame,
    search_columns,
)
from harness.report.plot import Plot
from harness.report.plots_curves import counted
from harness.report.results import Results
from harness.report.table import short

_BINS = 5
_FEWEST = 3
"""Trials that must have a conditional parameter for it to be drawn."""
_BEST = 0.1
"""Share of the trials whose lines stand out."""
_TOO_FEW = "too few complete trials to say what mattered"


def draw_history(frame: pd.DataFrame, results: Results) -> Figure:
    if frame["dev_nats"].notna().sum() == 0:
        return style.empty("no trial with a loss yet", results.label)
    figure, (axes,) = style.figure(style.NARROW, 3.9)
    axes.set_title("The search in order")
    for status, (colour, marker) in style.STATUSES.items():
        points = frame[(frame["status"] == status) & frame["dev_nats"].notna()]
        if not points.empty:
            looks = {"lw": 1} if marker == "x" else {}
            style.scatter(
                axes, points["trial"], points["dev_nats"], color=colour, marker=marker, label=status, **looks
            )
    axes.step(frame["trial"], frame["best_so_far"], where="post", color=style.BLUE, lw=1.4, label="best so far")
    marks = lines_frame(results)
    recipe = marks.loc[marks["line"] == "lecture's recipe", "nats"]
    for nats in recipe:
        axes.axhline(nats, color=style.REFERENCE, lw=1.1, ls=":", label=f"lecture's recipe, {nats:.3f}")
    focus(axes, frame["dev_nats"], list(recipe))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="trial", ylabel="dev loss (nats per symbol)")
    style.legend_above(axes, columns=3)
    style.small_print(figure, f"trials stopped early at the loss they were stopped at · {results.label}")
    return figure


def focus(axes: Axes, losses: pd.Series, marks: list[float]) -> None:
    """Keep a few wild losses from flattening the rest: the axis ends above nine tenths of them."""
    losses = losses.dropna().astype(float)
    low, high = float(losses.min()), max([float(losses.quantile(0.9)), *marks])
    margin = 0.06 * (high - low) or 0.01
    axes.set_ylim(low - margin, high + margin)


def _alt_history(frame: pd.DataFrame) -> str:
    best = frame["best_so_far"].dropna()
    ended = f"Dev loss of {len(frame)} trials in order: {counted(frame['status'].value_counts())}."
    if best.empty:
        return ended
    reached = int(frame.loc[frame["dev_nats"] == best.iloc[-1], "trial"].iloc[0])
    return f"{ended} The lowest of a complete trial is {best.iloc[-1]:.4f}, at trial {reached}."


def draw_importance(frame: pd.DataFrame, results: Results) -> Figure:
    if frame.empty:
        return style.empty(_TOO_FEW, results.label)
    figure, (axes,) = style.figure(style.NARROW, 0.32 * len(frame) + 1.5)
    sns.barplot(frame, x="importance", y="parameter", color=style.SKY, saturation=1, ax=axes)
    axes.hlines(range(len(frame)), frame["low"], frame["high"], color=style.INK, lw=1.2)
    axes.axvline(1 / len(frame), color=style.GREY, lw=1, ls=":")
    axes.set(xlabel="share of what told the best tenth from the rest", ylabel="")
    axes.set_title("What mattered")
    n = int(frame["n"].iloc[0])
    few = f", too few to rely on ({FEW_TRIALS} at least)" if n < FEW_TRIALS else ""
    text = f"PED-ANOVA, n={n} complete trials{few}; lines: 90 % of resamples; dots: chance alone"
    style.small_print(figure, f"{text}\n{results.label}")
    return figure


def _alt_importance(frame: pd.DataFrame) -> str:
    shares = [f"{row.parameter} {row.importance:.0%} ({row.low:.0%} to {row.high:.0%})" for row in frame.itertuples()]
    return f"Bars of importance over {frame['n'].iloc[0]} complete trials: {', '.join(shares)}."


def _by_parameter(results: Results) -> pd.DataFrame:
    frame = complete_frame(results)
    columns = search_columns(results, frame)
    return frame[["trial", "dev_nats", *columns.values()]].rename(columns={c: name for name, c in columns.items()})


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
        axis.set_xlabel(f"{name} (n={len(points)})")
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    focus(axes[0], frame["dev_nats"], [])
    for axis in axes[::columns]:
        axis.set_ylabel("dev loss (nats)")
    figure.suptitle("A slice per parameter", x=0.01, ha="left", weight="bold", size=10)
    rare = [name for name in frame.columns[2:] if name not in names]
    left_out = f"fewer than {_FEWEST} have {', '.join(rare)} · " if rare else ""
    style.small_print(figure, f"n={len(frame)} complete trials, darker the later · {left_out}{results.label}")
    return figure


def _scaled_axis(axes: Axes, values: pd.Series, name: str, results: Results) -> pd.Series:
    """Where the values stand on the axis, which is set to the parameter's own scale."""
    levels = _levels(values)
    if levels is not None:
        axes.set_xticks(range(len(levels)), [short(level) for level in levels])
        axes.set_xlim(-0.5, len(levels) - 0.5)
        axes.tick_params(axis="x", rotation=28 if len(levels) > 4 else 0, labelsize=7.5)
        return values.map({level: place for place, level in enumerate(levels)})
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


def _levels(values: pd.Series) -> list[Any] | None:
    """The values of a choice, in order; None for a parameter that has a scale."""
    if pd.api.types.is_numeric_dtype(values) and values.name != "batch_size":
        return None
    return sorted(values.unique(), key=lambda value: (isinstance(value, str), value))


def _alt_slices(frame: pd.DataFrame) -> str:
    best = frame.loc[frame["dev_nats"].astype(float).idxmin()]
    values = ", ".join(f"{name} {short(best[name])}" for name in frame.columns[2:] if pd.notna(best[name]))
    return (
        f"Dev loss of {len(frame)} complete trials against each parameter alone. The best, trial {best['trial']}: {values}."
    )


def draw_parallel(frame: pd.DataFrame, results: Results) -> Figure:
    names = [name for name in frame.columns[2:] if frame[name].notna().all()]
    if len(frame) < 2 or not names:
        return style.empty("too few complete trials", results.label)
    names.append("dev_nats")
    figure, (axes,) = style.figure(style.WIDE, 4.0)
    axes.set_title("Parallel coordinates")
    places = np.column_stack([_unit(frame[name], name, axes, at, results) for at, name in enumerate(names)])
    ranks = frame["dev_nats"].rank(pct=True).to_numpy(float)
    steps = len(style.LEVELS)
    for row, share in sorted(zip(places, ranks, strict=True), key=lambda pair: -pair[1]):
        best = share <= max(_BEST, 1 / len(frame))
        colour = style.VERMILION if best else style.LEVELS[min(steps - 1, int((1 - share) * steps))]
        axes.plot(row, color=colour, lw=1.8 if best else 0.9, alpha=0.9, zorder=3 if best else 2)
    axes.plot([], [], color=style.VERMILION, lw=1.8, label="best tenth")
    axes.plot([], [], color=style.LEVELS[-2], lw=1.2, label="better half, darker the better")
    axes.plot([], [], color=style.LEVELS[0], lw=1.2, label="worst")
    for at in range(len(names)):
        axes.axvline(at, color=style.FRAME, lw=0.8, zorder=1)
    axes.set_xticks(range(len(names)), [*names[:-1], "dev loss (nats)"])
    axes.set(yticks=[], xlim=(-0.35, len(names) - 0.35), ylim=(-0.06, 1.06))
    axes.grid(visible=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    style.legend_above(axes, columns=3)
    style.small_print(figure, f"n={len(frame)} complete trials; parameters that every one has · {results.label}")
    return figure


def _unit(values: pd.Series, name: str, axes: Axes, at: int, results: Results) -> np.ndarray[Any, Any]:
    """Values as heights from 0 to 1 on their own scale, whose ends or choices are written beside the axis."""
    levels = _levels(values)
    if levels is not None:
        place = {level: (i + 0.5) / len(levels) for i, level in enumerate(levels)}
        marks = {short(level): height for level, height in place.items()}
        heights = values.map(place).to_numpy(float)
    else:
        log = name in results.study.space and is_log(results, name)
        scaled = np.log(values.to_numpy(float)) if log else values.to_numpy(float)
        low, span = scaled.min(), np.ptp(scaled) or 1.0
        heights = (scaled - low) / span
        marks = {f"{values.min():.3g}": 0.0, f"{values.max():.3g}": 1.0}
    for text, height in marks.items():
        axes.text(
            at + 0.03, height, text, fontsize=7.5, va="center", color=style.INK, zorder=5,
            bbox={"facecolor": style.PAPER, "alpha": 0.75, "lw": 0, "pad": 0.8},
        )  # fmt: skip
    return heights


def _alt_parallel(frame: pd.DataFrame) -> str:
    best = frame[frame["dev_nats"].rank(pct=True) <= max(_BEST, 1 / len(frame))]
    ranges = [
        f"{name} {short(best[name].min())} to {short(best[name].max())}"
        for name in frame.columns[2:]
        if best[name].notna().all() and _levels(frame[name]) is None
    ]
    return f"A line for each of {len(frame)} complete trials. Best tenth ({len(best)}): {', '.join(ranges)}."


def _pair(results: Results) -> pd.DataFrame:
    """Cells over the ranges of the two most important parameters: how many trials, their mean and lowest dev."""
    ranked = list(importance_frame(results)["parameter"])[:2]
    columns = ["x", "y", "x_bin", "y_bin", "x_values", "y_values", "n", "mean_dev_nats", "lowest_dev_nats"]
    if len(ranked) < 2:
        return pd.DataFrame(columns=columns)
    frame = _by_parameter(results)
    cells = pd.DataFrame({"dev_nats": frame["dev_nats"].astype(float)})
    for axis, name in zip("xy", ranked, strict=True):
        places, words = _binned(frame[name], is_log(results, name))
        cells[f"{axis}_bin"], cells[f"{axis}_values"] = places, [words[place] for place in places]
    by = ["x_bin", "y_bin", "x_values", "y_values"]
    grouped = cells.groupby(by)["dev_nats"]
    table = grouped.agg(n="count", mean_dev_nats="mean", lowest_dev_nats="min").reset_index()
    return table.assign(x=ranked[0], y=ranked[1])[columns]


def _binned(values: pd.Series, log: bool) -> tuple[list[int], list[str]]:
    """The bin of each value, and every bin in words: the choices, or equal parts of the range on its scale."""
    levels = _levels(values)
    if levels is None and values.nunique() <= _BINS:
        levels = sorted(values.unique())
    if levels is not None:
        return [levels.index(value) for value in values], [short(level) for level in levels]
    low, high = float(values.min()), float(values.max())
    edges = np.geomspace(low, high, _BINS + 1) if log else np.linspace(low, high, _BINS + 1)
    places = np.clip(np.searchsorted(edges, values.to_numpy(float), side="right") - 1, 0, _BINS - 1)
    words = [f"{left:.2g} to {right:.2g}" for left, right in zip(edges, edges[1:], strict=False)]
    if (values == values.round()).all():
        words = [
            f"{np.ceil(left):.0f} to {np.ceil(right) - 1 if place < _BINS - 1 else right:.0f}"
            for place, (left, right) in enumerate(zip(edges, edges[1:], strict=False))
        ]
    return places.tolist(), words


def draw_pair(frame: pd.DataFrame, results: Results) -> Figure:
    if frame.empty:
        return style.empty(_TOO_FEW, results.label)
    figure, (axes,) = style.figure(style.NARROW, 4.3)
    losses = frame["mean_dev_nats"]
    colours = style.LEVELS[::-1]
    shares = losses.rank(pct=True)
    for row, share in zip(frame.to_dict("records"), shares, strict=True):
        step = min(len(colours) - 1, int((share - 1e-9) * len(colours)))
        x, y = row["x_bin"], row["y_bin"]
        axes.add_patch(Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, color=colours[step], lw=0))
        ink = style.PAPER if step < len(colours) / 2 else style.INK
        text = f"{row['mean_dev_nats']:.3f}\nn={row['n']}"
        axes.text(x, y, text, ha="center", va="center", fontsize=7.5, color=ink)
    for axis, ticks, label in ((axes.xaxis, "x", axes.set_xlabel), (axes.yaxis, "y", axes.set_ylabel)):
        bins = frame.drop_duplicates(f"{ticks}_bin").sort_values(f"{ticks}_bin")
        axis.set_major_locator(FixedLocator(list(bins[f"{ticks}_bin"])))
        axis.set_ticklabels([words.replace(" to ", " to\n") for words in bins[f"{ticks}_values"]])
        label(frame[ticks].iloc[0], labelpad=8)
    axes.set_xlim(frame["x_bin"].min() - 0.6, frame["x_bin"].max() + 0.6)
    axes.set_ylim(frame["y_bin"].min() - 0.6, frame["y_bin"].max() + 0.6)
    axes.grid(visible=False)
    axes.tick_params(labelsize=7.5)
    axes.set_title("The two parameters that mattered most")
    style.small_print(figure, f"mean dev loss of n complete trials; darker is lower · {results.label}")
    return figure


def _alt_pair(frame: pd.DataFrame) -> str:
    best = frame.loc[frame["mean_dev_nats"].idxmin()]
    return (
        f"Heat map of mean dev loss over {best['x']} and {best['y']}, {len(frame)} cells with trials in them. Lowest: "
        f"{best['mean_dev_nats']:.4f} (n={best['n']}) at {best['x']} {best['x_values']}, {best['y']} {best['y_values']}."
    )


HISTORY = Plot(
    "history",
    "The search in order",
    "One mark for each trial, from first to last; lower is better. The step line is the best complete trial so far: "
    "where it has long been flat, more trials of this search would gain little.",
    history_frame,
    draw_history,
    _alt_history,
)
IMPORTANCE = Plot(
    "importance",
    "What mattered",
    "The longer a bar, the more its parameter told the best tenth of the trials from the rest. The thin line is the "
    "range over resampled trials: where it reaches left of the dotted line, the bar may be chance. Parameters that "
    "only some trials have cannot be compared and are left out.",
    importance_frame,
    draw_importance,
    _alt_importance,
)
SLICES = Plot(
    "slices",
    "A slice per parameter",
    "The same trials again and again, laid out along one parameter each; lower is better. A valley shows where the "
    "parameter is best; lowest points crowding at an end say that the range should go on there. Darker trials came "
    "later, when the search knew more.",
    _by_parameter,
    draw_slices,
    _alt_slices,
    wide=True,
)
PARALLEL = Plot(
    "parallel",
    "Parallel coordinates",
    "Each trial is one line across all parameters, each axis on its own scale from lowest to highest; the last is the loss. Where the "
    "orange lines, the best tenth, run close together, that parameter's value was settled; where they fan out, it did "
    "not matter.",
    _by_parameter,
    draw_parallel,
    _alt_parallel,
    wide=True,
)
PAIR = Plot(
    "pair",
    "The two parameters that mattered most",
    "Each cell holds the trials with both values in its ranges: their mean dev loss, and how many they are. Darker "
    "is lower. Empty cells were never tried; cells of one or two trials say little.",
    _pair,
    draw_pair,
    _alt_pair,
)
