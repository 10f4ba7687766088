"""Figures from the frames: train and dev curves, history, what mattered, where the symbols lie."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from harness.report import style
from harness.report.finalists_plot import plot_finalists
from harness.report.frames import (
    FEW_TRIALS,
    curves_frame,
    embedding_frame,
    history_frame,
    importance_frame,
    trials_frame,
)
from harness.report.results import LECTURE_DEV, Results
from harness.search.records import RangeTest
from harness.train.diagnose import LARGE_GAP, SMALL_GAP


def plot_curves(results: Results) -> Figure:
    """Left: the chosen trial's train and dev loss, as searched, beside the reference's. Right: dev of every trial."""
    curves = curves_frame(results)
    figure, (left, right) = style.figure(11, 4.6, columns=2, sharey=True)
    best = None if results.chosen is None else results.chosen.trial.number
    for run, colour in ((f"trial {best}", style.BLUE), ("lecture's recipe", style.REFERENCE)):
        points = curves[curves["run"] == run]
        if points.empty:
            continue
        shown = _chosen_name(results) if run.startswith("trial") else run
        left.plot(points["examples"], points["dev_nats"], color=colour, marker="o", ms=3.5, label=f"{shown}, dev")
        left.plot(points["examples"], points["train_nats"], color=colour, ls="--", label=f"{shown}, train")
    for _, points in curves[curves["trial"].notna()].groupby("run"):
        ended = points["status"].iloc[0]
        colour = style.BLUE if ended == "complete" else style.GREY
        right.plot(points["examples"], points["dev_nats"], color=colour, alpha=0.35, lw=1)
    right.plot([], [], color=style.BLUE, lw=1, label="complete")
    right.plot([], [], color=style.GREY, lw=1, label="pruned, diverged or cut short")
    right.set_title("Dev loss of every trial")
    left.set_title("Train and dev loss along the run")
    for axes in (left, right):
        _lecture_lines(axes, results)
        axes.set_xlabel("examples seen")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1e6:g} M" if value else "0")
        _legend(axes)
    left.set_ylabel("loss (nats per symbol)")
    _focus(left, pd.concat([curves["train_nats"], curves["dev_nats"]]), results)
    style.small_print(figure, results.label)
    return figure


def plot_train_against_dev(results: Results) -> Figure:
    """Each complete trial by its final losses; the diagonals bound the gaps the verdicts speak of."""
    frame = trials_frame(results)
    frame = frame[(frame["status"] == "complete") & frame["verdict"].notna()]
    figure, (axes,) = style.figure(6.6, 5.4)
    for verdict, points in frame.groupby("verdict"):
        _scatter(axes, points, style.VERDICTS[str(verdict)], style.MARKERS[str(verdict)], f"{verdict} ({len(points)})")
    if results.reference is not None:
        point = pd.DataFrame([results.reference.model_dump(include={"train_nats", "dev_nats"})])
        _scatter(axes, point, style.REFERENCE, "*", "lecture's recipe", size=180)
    if not frame.empty:
        ends = axes.get_xlim()
        top = axes.get_ylim()
        for gap, shown in ((0.0, "no gap"), (SMALL_GAP, f"gap {SMALL_GAP:g}"), (LARGE_GAP, f"gap {LARGE_GAP:g}")):
            axes.plot(ends, [end + gap for end in ends], color=style.GREY, lw=0.8, ls=":", zorder=0)
            x = min(ends[1], top[1] - gap)
            axes.annotate(shown, (x, x + gap), fontsize=7, color=style.GREY, ha="right", va="bottom", rotation=35)
        axes.set_xlim(ends)
        axes.set_ylim(top)
        axes.legend(fontsize=8, loc="lower right")
    axes.set(xlabel="train loss (nats per symbol)", ylabel="dev loss (nats per symbol)")
    axes.set_title("Train against dev loss, by verdict")
    style.small_print(figure, results.label)
    return figure


def plot_history(results: Results) -> Figure:
    """Dev loss of the trials in order, and the best so far."""
    frame = history_frame(results)
    figure, (axes,) = style.figure(8, 4.4)
    looks = {"complete": (style.BLUE, "o"), "pruned": (style.GREY, "x"), "diverged": (style.BLACK, "X")}
    for status, (colour, marker) in looks.items():
        points = frame[(frame["status"] == status) & frame["dev_nats"].notna()]
        if not points.empty:
            axes.scatter(points["trial"], points["dev_nats"], color=colour, marker=marker, s=26, label=status)
    axes.step(frame["trial"], frame["best_so_far"], where="post", color=style.BLUE, lw=1.5, label="best so far")
    _lecture_lines(axes, results)
    _focus(axes, frame["dev_nats"], results)
    axes.set(xlabel="trial", ylabel="dev loss (nats per symbol)")
    axes.set_title("The search in order")
    _legend(axes)
    style.small_print(figure, f"{results.label} · pruned trials at the loss they were stopped at")
    return figure


def plot_importance(results: Results) -> Figure:
    """Which parameters tell the best tenth of the trials from the rest."""
    frame = importance_frame(results)
    if frame.empty:
        return style.empty("too few complete trials to say what mattered", results.label)
    figure, (axes,) = style.figure(6.6, 0.5 * len(frame) + 1.6)
    sns.barplot(frame, x="importance", y="parameter", color=style.BLUE, ax=axes)
    axes.hlines(range(len(frame)), frame["low"], frame["high"], color=style.BLACK, lw=1.2)
    axes.set(xlabel="importance for dev loss (PED-ANOVA, shares of 1)", ylabel="")
    n = int(frame["n"].iloc[0])
    few = f": too few to rely on, from {FEW_TRIALS} on it says more" if n < FEW_TRIALS else ""
    axes.set_title("What mattered")
    style.small_print(
        figure,
        f"n={n} complete trials{few} · lines: 90 % of resamples · conditional ones are left out\n{results.label}",
    )
    return figure


def plot_slices(results: Results) -> Figure:
    """Dev loss against each parameter alone, complete trials only, darker the later."""
    frame = trials_frame(results)
    frame = frame[(frame["status"] == "complete") & frame["dev_nats"].notna()]
    names = [name for name in results.study.space if name in frame and frame[name].notna().any()]
    columns = min(4, max(1, len(names)))
    rows = max(1, -(-len(names) // columns))
    figure, axes = style.figure(3.1 * columns, 2.9 * rows + 0.4, columns=columns, rows=rows, sharey=True)
    for axis, name in zip(axes, names, strict=False):
        points = frame[frame[name].notna()].sort_values(name)
        values = points[name]
        if not pd.api.types.is_numeric_dtype(values) or name == "batch_size":
            values = values.map(lambda v: str(int(v)) if isinstance(v, float) else str(v)).str.replace("_", "-")
            axis.tick_params(axis="x", rotation=35 if values.nunique() > 4 else 0)
        elif '"log": true' in results.study.space[name][0]:
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter("{x:g}")
            axis.xaxis.set_minor_formatter("")
            axis.tick_params(axis="x", labelsize=8)
        axis.scatter(values, points["dev_nats"], c=points["trial"], cmap="Blues", vmin=-20, s=24, lw=0)
        axis.set_xlabel(name)
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    _focus(axes[0], frame["dev_nats"], results)
    axes[0].set_ylabel("dev loss (nats)")
    figure.suptitle("A slice per parameter", x=0.01, ha="left", weight="bold")
    style.small_print(figure, f"n={len(frame)} complete trials, darker the later · {results.label}")
    return figure


def plot_lr_range(results: Results) -> Figure:
    """The range test of the best trial's config, run after the search."""
    probe = results.study.range_test
    if probe is None:
        return style.empty("no range test stored yet", results.label)
    return draw_lr_range(probe, f"model and batch size of trial {probe.trial}, from fresh weights · {results.label}")


def draw_lr_range(probe: RangeTest, caption: str) -> Figure:
    """A range test's smoothed loss over the rates, with the suggested range shaded."""
    figure, (axes,) = style.figure(7, 4.2)
    axes.plot(probe.rates, probe.smoothed, color=style.BLUE)
    axes.axvspan(probe.low, probe.high, color=style.GREEN, alpha=0.15, lw=0)
    axes.set_xscale("log")
    low = min(probe.smoothed)
    axes.set_ylim(low - 0.1, min(max(probe.smoothed), probe.smoothed[0] * 1.5) + 0.1)
    axes.set(xlabel=f"learning rate ({probe.optimizer}), one step at each", ylabel="train batch loss, smoothed (nats)")
    axes.set_title(f"Learning-rate range: try {probe.low:.1e} to {probe.high:.1e}")
    style.small_print(figure, caption)
    return figure


def plot_embedding(results: Results) -> Figure:
    """Where the best trial's model keeps its symbols."""
    frame = embedding_frame(results)
    if frame.empty:
        return style.empty("no embedding stored yet", results.label)
    figure, (axes,) = style.figure(6, 5.6)
    vowels = frame["symbol"].isin(list("aeiou"))
    axes.scatter(frame["x"], frame["y"], s=150, color=[style.ORANGE if vowel else style.SKY for vowel in vowels])
    for symbol, x, y in frame[["symbol", "x", "y"]].itertuples(index=False):
        axes.text(x, y, repr(symbol)[1:-1], ha="center", va="center", fontsize=9)
    explained = float(frame["explained"].iloc[0])
    axes.set(xlabel="first component", ylabel="second component")
    axes.set_title("The embedding, symbol by symbol")
    note = "" if explained == 1.0 else f"PCA of unit-length rows, {100 * explained:.0f} % of the variance shown · "
    number = "" if results.chosen is None else f"{_chosen_name(results)} · "
    style.small_print(figure, f"{note}{number}vowels in orange · {results.study.corpus.short}")
    return figure


PLOTS: dict[str, Callable[[Results], Figure]] = {
    "curves": plot_curves,
    "finalists": plot_finalists,
    "train_against_dev": plot_train_against_dev,
    "history": plot_history,
    "importance": plot_importance,
    "slices": plot_slices,
    "lr_range": plot_lr_range,
    "embedding": plot_embedding,
}


def _chosen_name(results: Results) -> str:
    chosen = results.chosen
    return "" if chosen is None else f"{'winner' if chosen.runs else 'best'} (trial {chosen.trial.number})"


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)


def _scatter(axes: Axes, points: pd.DataFrame, colour: str, marker: str, label: str, size: float = 42) -> None:
    x, y = points["train_nats"], points["dev_nats"]
    axes.scatter(x, y, color=colour, marker=marker, s=size, edgecolor="white", lw=0.6, label=label)


def _lecture_lines(axes: Axes, results: Results) -> None:
    if results.reference is not None and results.reference.dev_nats is not None:
        seeds = f" (mean of {len(results.reference.seeds)} seeds)" if results.reference.seeds else ""
        shown = f"lecture's recipe here, dev {results.reference.dev_nats:.3f}{seeds}"
        axes.axhline(results.reference.dev_nats, color=style.REFERENCE, lw=1, ls=":", label=shown)
    ngrams = results.study.ngrams
    if ngrams is not None:
        shown = f"counted {ngrams.best.order}-gram (Kneser-Ney), dev {ngrams.best.dev_nats:.3f}"
        axes.axhline(ngrams.best.dev_nats, color=style.GREEN, lw=1, ls="--", label=shown)
        shown = f"floor of train at context {ngrams.context_length}, {ngrams.floor:.3f}"
        axes.axhline(ngrams.floor, color=style.GREY, lw=1, ls="--", label=shown)
    if results.study.corpus.is_the_lectures:
        axes.axhline(LECTURE_DEV, color=style.BLACK, lw=1, ls=":", label=f"the lecture's own figure, {LECTURE_DEV}")


def _focus(axes: Axes, losses: pd.Series, results: Results) -> None:
    """Keep a few wild losses from flattening the rest: the axis ends a little above the upper quartile."""
    losses = losses.dropna().astype(float)
    if losses.empty:
        return
    low, middle, high = (float(losses.quantile(share)) for share in (0.0, 0.5, 0.9))
    shown = [high] if results.reference is None else [high, results.reference.dev_nats or high]
    top = max([*shown, LECTURE_DEV] if results.study.corpus.is_the_lectures else shown) + 0.1 * max(middle - low, 0.05)
    axes.set_ylim(low - 0.04 * (top - low), top)
