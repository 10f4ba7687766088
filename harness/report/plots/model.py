"""Figures of the chosen model: learning-rate range, embedding, and dev loss by position and by symbol."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harness.report import palette
from harness.report.frames import embedding_frame
from harness.report.losses import END, positions_frame, symbols_frame
from harness.report.plots import style
from harness.report.plots.curves import chosen_name
from harness.report.plots.plot import Plot
from harness.report.results import Results
from harness.store.study_record import RangeTest
from harness.words import plural

_MOST_SYMBOLS = 30
_FEWEST = 10
"""Examples that a position needs for its mean to be drawn."""
_NO_WEIGHTS = "no weights stored, or the corpus is not available"


def _range(results: Results) -> pd.DataFrame:
    probe = results.study.range_test
    if probe is None:
        return pd.DataFrame(columns=["learning_rate", "smoothed_nats", "suggested_from", "suggested_to"])
    frame = pd.DataFrame({"learning_rate": probe.rates, "smoothed_nats": probe.smoothed})
    return frame.assign(suggested_from=probe.low, suggested_to=probe.high)


def _draw_range(frame: pd.DataFrame, results: Results) -> Figure:
    probe = results.study.range_test
    if frame.empty or probe is None:
        return style.empty("no range test stored yet", results.label)
    config = next((record.config for record in results.trials if record.number == probe.trial), None)
    rate = None if config is None else config.optimizer.learning_rate
    caption = f"model and batch size of trial {probe.trial}, from fresh weights · {results.label}"
    return draw_lr_range(probe, caption, rate)


def draw_lr_range(probe: RangeTest, caption: str, rate: float | None = None) -> Figure:
    """A range test's smoothed loss over the rates, with the suggested range shaded.

    Args:
        rate: the rate that the config is trained at, marked by a dotted line.
    """
    figure, (axes,) = style.figure(style.NARROW, 3.4)
    axes.plot(probe.rates, probe.smoothed, color=palette.BLUE)
    axes.axvspan(probe.low, probe.high, color=palette.GREEN, alpha=0.18, lw=0)
    if rate is not None and probe.rates[0] <= rate <= probe.rates[-1]:
        axes.axvline(rate, color=palette.VERMILION, lw=1.1, ls=":", label=f"rate it is trained at, {rate:.2g}")
    axes.set_xscale("log")
    low = min(probe.smoothed)
    axes.set_ylim(low - 0.1, min(max(probe.smoothed), probe.smoothed[0] * 1.5) + 0.1)
    axes.set(xlabel=f"learning rate ({probe.optimizer}), one step at each", ylabel="batch loss, smoothed (nats)")
    axes.set_title(f"Learning-rate range: try {probe.low:.1e} to {probe.high:.1e}")
    style.legend_above(axes)
    style.small_print(figure, caption)
    return figure


def _alt_range(frame: pd.DataFrame) -> str:
    lowest = frame.sort_values("smoothed_nats").iloc[0]
    return (
        f"Smoothed batch loss over learning rates from {frame['learning_rate'].min():.1e} to "
        f"{frame['learning_rate'].max():.1e}; lowest, {lowest['smoothed_nats']:.3f} nats, at "
        f"{lowest['learning_rate']:.1e}. Suggested: {lowest['suggested_from']:.1e} to {lowest['suggested_to']:.1e}."
    )


def _draw_embedding(frame: pd.DataFrame, results: Results) -> Figure:
    if frame.empty:
        return style.empty("no embedding stored yet", results.label)
    return draw_embedding(frame, f"{chosen_name(results)} · {results.study.corpus.short}")


def draw_embedding(frame: pd.DataFrame, caption: str) -> Figure:
    """Symbols at their points in two dimensions, as `embedding_points` gives them; vowels are orange."""
    figure, (axes,) = style.figure(style.NARROW, 4.6)
    vowels = frame["symbol"].isin(list("aeiou"))
    colours = [palette.ORANGE if vowel else palette.SKY for vowel in vowels]
    axes.scatter(frame["x"], frame["y"], s=120, color=colours, alpha=0.45, lw=0)
    for symbol, x, y in frame[["symbol", "x", "y"]].itertuples(index=False):
        axes.text(x, y, _printable(symbol), ha="center", va="center", fontsize=9)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_title("The embedding, symbol by symbol")
    explained = float(frame["explained"].iloc[0])
    axis = "coordinate" if explained == 1.0 else "component"
    axes.set(xlabel=f"first {axis}", ylabel=f"second {axis}")
    note = "" if explained == 1.0 else f"PCA of unit-length rows, {100 * explained:.0f} % of the variance shown · "
    style.small_print(figure, f"{note}{caption}")
    return figure


def _printable(symbol: str) -> str:
    """A symbol as text, with dollar signs escaped for matplotlib."""
    return repr(symbol)[1:-1].replace("$", r"\$")


def alt_embedding(frame: pd.DataFrame) -> str:
    return (
        f"Map of {plural(len(frame), 'symbol')} by their embedding. These two dimensions hold "
        f"{frame['explained'].iloc[0]:.0%} of the variance. Coordinates are in the csv."
    )


def _draw_positions(frame: pd.DataFrame, results: Results) -> Figure:
    shown = frame[frame["n"] >= _FEWEST]
    if shown.empty:
        return style.empty(_NO_WEIGHTS, results.label)
    figure, (upper, lower) = style.figure(style.NARROW, 4.0, rows=2, sharex=True, gridspec_kw={"height_ratios": (2, 1)})
    upper.set_title("Dev loss by position in the item")
    upper.errorbar(
        shown["position"],
        shown["nats"],
        yerr=1.96 * shown["standard_error"],
        color=palette.BLUE,
        marker="o",
        ms=4,
        lw=1.2,
    )
    upper.set_ylabel("nats per symbol")
    upper.set_ylim(bottom=0)
    lower.bar(shown["position"], 100 * shown["share"], color=palette.SKY, width=0.7)
    lower.set(xlabel="position of the predicted symbol (1: the first)", ylabel="% of the loss")
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    few = f"positions with fewer than {_FEWEST} examples are only in the csv · "
    style.small_print(figure, f"{chosen_name(results)}, one run · {few}{_dev(results)}")
    return figure


def _draw_symbols(frame: pd.DataFrame, results: Results) -> Figure:
    if frame.empty:
        return style.empty(_NO_WEIGHTS, results.label)
    shown = frame.head(_MOST_SYMBOLS)
    figure, (upper, lower) = style.figure(style.NARROW, 4.0, rows=2, sharex=True)
    places = range(len(shown))
    colours = [palette.GREEN if s == END else palette.ORANGE if s in "aeiou" else palette.SKY for s in shown["symbol"]]
    upper.bar(places, 100 * shown["share"], color=colours, width=0.75)
    upper.set(title="Dev loss by predicted symbol", ylabel="% of the loss")
    lower.bar(places, shown["nats"], color=colours, width=0.75)
    lower.set_ylabel("nats per symbol")
    _name_symbols(lower, shown, "." if results.corpus is None else _printable(results.corpus.vocabulary[0]))
    rest = f"{len(shown)} of {len(frame)} symbols · " if len(frame) > len(shown) else ""
    style.small_print(figure, f"{chosen_name(results)}, one run · {rest}{_dev(results)}")
    return figure


def _name_symbols(axes: Axes, shown: pd.DataFrame, boundary: str) -> None:
    axes.set_xticks(range(len(shown)), [boundary if s == END else _printable(s) for s in shown["symbol"]])
    axes.set_xlabel(f"symbol to predict ({boundary} is the end of an item)")
    axes.set_xlim(-0.6, len(shown) - 0.4)
    axes.grid(visible=False, axis="x")


def _dev(results: Results) -> str:
    return f"{results.study.corpus.short} · dev n={results.study.corpus.examples['dev']:,}"


def _alt_positions(frame: pd.DataFrame) -> str:
    parts = [f"{row.position}: {row.nats:.2f} nats (n={row.n:,})" for row in frame.head(8).itertuples()]
    return f"Mean dev loss by position in the item, the first eight: {'; '.join(parts)}."


def _alt_symbols(frame: pd.DataFrame) -> str:
    parts = [f"{row.symbol} {row.share:.1%} ({row.nats:.2f} nats)" for row in frame.head(5).itertuples()]
    return f"Share of the dev loss by predicted symbol; the five largest: {', '.join(parts)}."


LR_RANGE = Plot(
    "lr_range",
    "Learning-rate range",
    "The loss of single batches while the learning rate grows from step to step, from fresh weights. On the left the "
    "rates are too small to learn; where the line rises steeply they are too large. The green range, from the steepest "
    "fall to the lowest point, is the range to try. The dotted line is the rate that the trial was trained with.",
    _range,
    _draw_range,
    _alt_range,
)
EMBEDDING = Plot(
    "embedding",
    "The embedding",
    "Each symbol at its place in the embedding, projected onto the two directions with the largest variance. The model "
    "treats symbols that are close together as nearly interchangeable. Vowels are orange. If the share of the variance "
    "under the plot is small, distances are unreliable.",
    embedding_frame,
    _draw_embedding,
    alt_embedding,
)
POSITIONS = Plot(
    "positions",
    "Loss by position",
    "Top: the mean loss at each position of an item, with 95 % intervals; lower means easier to predict. The first "
    "symbol has no context. Bottom: each position's share of the whole dev loss, which is small where few items are "
    "long enough.",
    positions_frame,
    _draw_positions,
    _alt_positions,
)
SYMBOLS = Plot(
    "symbols",
    "Loss by symbol",
    "Top: each symbol's share of the whole dev loss. Bottom: the mean loss when that symbol is the target. A symbol "
    "with a high bar at the top and a low one at the bottom is common but easy; the reverse is rare and hard. Vowels "
    "are orange, the end of an item is green.",
    symbols_frame,
    _draw_symbols,
    _alt_symbols,
)
