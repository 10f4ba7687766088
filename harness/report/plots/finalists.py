"""The finalists' round as a figure: all fresh runs, their means, and the paired differences from the lowest mean."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harness.report import palette
from harness.report.plots import style
from harness.report.plots.plot import Plot
from harness.report.results import Results
from harness.report.tables.finalists import finalists_frame, runs_frame
from harness.words import plural

_MEANS = ["name", "trial", "nats", "search", "behind", "behind_low", "behind_high", "winner", "tied"]


def _finalists(results: Results) -> pd.DataFrame:
    """One row per contender with its mean and no seed, lowest first; then one per fresh run. Only those not out.

    `nats` is the loss that the ranking is by.
    """
    ranked, runs = finalists_frame(results), runs_frame(results)
    if ranked.empty:
        return pd.DataFrame(columns=["contender", "seed"])
    own, search = ("mixed_nats", "search_mixed_nats") if _by_mixed(results) else ("dev_nats", "search_nats")
    ranked = ranked.assign(nats=ranked[own], search=ranked[search])
    means = ranked.loc[ranked["out"] == "", _MEANS].rename(columns={"name": "contender"})
    runs = runs.assign(nats=runs[own])
    runs = runs.loc[runs["contender"].isin(means["contender"]), ["contender", "trial", "seed", "nats"]]
    return pd.concat([means, runs], ignore_index=True)  # the means have no seed


def _by_mixed(results: Results) -> bool:
    return results.study.ranking is not None and results.study.ranking.objective == "mixed"


def draw_finalists(frame: pd.DataFrame, results: Results) -> Figure:
    """Left: dev losses of the fresh runs, their mean, and the search's loss. Right: distance from the lowest mean."""
    if frame.empty:
        return style.empty("no finalists trained yet", results.label)
    placed, runs = frame[frame["seed"].isna()], frame[frame["seed"].notna()]
    figure, (left, right) = style.figure(style.WIDE, 0.34 * len(placed) + 1.8, columns=2, sharey=True)
    left.set_title("Fresh seeds")
    right.set_title("Difference from the lowest mean")
    for place, row in enumerate(placed.to_dict("records")):
        colour = palette.REFERENCE if pd.isna(row["trial"]) else palette.GREEN if row["winner"] else palette.BLUE
        dev = runs.loc[runs["contender"] == row["contender"], "nats"]
        left.scatter(dev, [place] * len(dev), color=colour, s=20, alpha=0.6, lw=0)
        left.scatter([row["nats"]], [place], color=colour, s=110, marker="|", lw=2.2)
        if pd.notna(row["search"]):
            left.scatter([row["search"]], [place], facecolor="none", edgecolor=palette.GREY, marker="D", s=26)
        right.plot([row["behind_low"], row["behind_high"]], [place, place], color=colour, lw=2.2)
        right.scatter([row["behind"]], [place], color=colour, s=26, zorder=3)
    right.axvline(0, color=palette.GREY, lw=0.8)
    notes = ["winner" if row.winner else "tied" if row.tied else "" for row in placed.itertuples()]
    labels = [f"{name} ({note})" if note else name for name, note in zip(placed["contender"], notes, strict=True)]
    left.set_yticks(range(len(placed)), labels)
    left.set_ylim(len(placed) - 0.5, -0.5)
    left.set_xlabel(f"{'mixed ' if _by_mixed(results) else ''}dev loss (nats per symbol)")
    right.set_xlabel("nats above the lowest mean (paired 95 %)")
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(6))
    _legend(left)
    _focus(right, placed)
    seeds = int(runs.groupby("contender").size().max())
    style.small_print(figure, f"{plural(seeds, 'fresh seed')} each, 95 % over seeds and items · {results.label}")
    return figure


def _legend(axes: Axes) -> None:
    axes.scatter([], [], color=palette.GREY, s=20, label="one seed")
    axes.scatter([], [], color=palette.GREY, s=110, marker="|", label="mean")
    axes.scatter([], [], facecolor="none", edgecolor=palette.GREY, marker="D", s=26, label="in the search")
    style.legend_above(axes, columns=3)


def _focus(axes: Axes, placed: pd.DataFrame) -> None:
    """Fit the axis to the finalists if the recipe is far away, and write its distance at the edge."""
    widest = placed.loc[placed["trial"].notna(), "behind_high"].max()
    end = 1.6 * widest
    if not widest > 0 or axes.get_xlim()[1] <= 2.5 * widest:
        return
    axes.set_xlim(min(float(placed["behind_low"].min()), -0.1 * widest), end)
    for place, behind in enumerate(placed["behind"]):
        if behind > end:
            axes.annotate(
                f"{behind:+.3f} →", (end, place), ha="right", va="center", fontsize=8, color=palette.REFERENCE
            )


def _alt(frame: pd.DataFrame) -> str:
    placed = frame[frame["seed"].isna()]
    means = [
        f"{row.contender} {row.nats:.4f}, {row.behind:.4f} above the lowest ({row.behind_low:.4f} to "
        f"{row.behind_high:.4f})"
        for row in placed.itertuples()
    ]
    return f"Mean dev loss over fresh seeds, and paired differences from the lowest: {'; '.join(means)}."


FINALISTS = Plot(
    "finalists",
    "Finalists on fresh seeds",
    "Left: the best trials, trained again with seeds that the search did not use; lower is better. If the diamond is "
    "to the left of the dots, the trial was lucky in the search (its optimism, the fresh mean minus the loss in the "
    "search, is positive). Right: the difference between each mean and the lowest one. A trial marked as tied has an "
    "interval that contains 0, and its mean is within the margin that the noise between seeds allows. Among those "
    "tied, the smallest model wins.",
    _finalists,
    draw_finalists,
    _alt,
    wide=True,
)
