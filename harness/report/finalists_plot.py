"""The finalists' round as a figure: every fresh run, the means, and the paired differences that decide."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.report import style
from harness.report.finalists import runs_frame, standings_frame
from harness.report.results import Results


def plot_finalists(results: Results) -> Figure:
    """Left: every fresh run's dev loss, their mean, the search's value. Right: behind the lowest mean, paired 95 %."""
    frame = standings_frame(results)
    placed = frame[frame["out"] == ""] if len(frame) else frame
    if placed.empty:
        return style.empty("no finalists trained yet", results.label)
    runs = runs_frame(results)
    figure, (left, right) = style.figure(10, 0.42 * len(placed) + 2.0, columns=2, sharey=True)
    for place, row in enumerate(placed.to_dict("records")):
        colour = style.REFERENCE if pd.isna(row["trial"]) else style.GREEN if row["winner"] else style.BLUE
        dev = runs.loc[runs["contender"] == row["name"], "dev_nats"]
        left.scatter(dev, [place] * len(dev), color=colour, s=18, alpha=0.5, lw=0)
        left.scatter([row["dev_nats"]], [place], color=colour, s=90, marker="|", lw=2.2)
        left.scatter([row["search_nats"]], [place], facecolor="none", edgecolor=style.GREY, marker="D", s=26)
        right.plot([row["behind_low"], row["behind_high"]], [place, place], color=colour, lw=2.2)
        right.scatter([row["behind"]], [place], color=colour, s=26, zorder=3)
    right.axvline(0, color=style.GREY, lw=0.8)
    notes = ["winner" if row.winner else "tied" if row.tied else "" for row in placed.itertuples()]
    labels = [f"{name} ({note})" if note else name for name, note in zip(placed["name"], notes, strict=True)]
    left.set_yticks(range(len(placed)), labels)
    left.invert_yaxis()
    left.set(xlabel="dev loss (nats per symbol)", title="Fresh seeds")
    right.set(xlabel="behind the lowest mean (nats, paired 95 %)", title="Who can be told apart")
    _legend(left)
    _focus(right, placed)
    seeds = int(placed["seeds"].iloc[0])
    style.small_print(figure, f"{seeds} fresh seeds each, seeds and items resampled together · {results.label}")
    return figure


def _legend(axes: Axes) -> None:
    axes.scatter([], [], color=style.GREY, s=18, label="one seed")
    axes.scatter([], [], color=style.GREY, s=90, marker="|", label="mean")
    axes.scatter([], [], facecolor="none", edgecolor=style.GREY, marker="D", s=26, label="in the search")
    axes.legend(fontsize=8)


def _focus(axes: Axes, placed: pd.DataFrame) -> None:
    """A recipe far behind must not press the finalists together: the axis is theirs, and says how far off it is."""
    widest = placed.loc[placed["trial"].notna(), "behind_high"].max()
    end = 1.6 * widest
    if not widest > 0 or axes.get_xlim()[1] <= 2.5 * widest:
        return
    axes.set_xlim(min(float(placed["behind_low"].min()), -0.1 * widest), end)
    for place, behind in enumerate(placed["behind"]):
        if behind > end:
            axes.annotate(f"{behind:+.3f} →", (end, place), ha="right", va="center", fontsize=8, color=style.REFERENCE)
