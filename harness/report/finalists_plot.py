"""The finalists' round as a figure: every fresh run, the means, and the paired differences that decide."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.report import style
from harness.report.results import Results
from harness.search.standing import Finalist, Standing


def plot_finalists(results: Results) -> Figure:
    """Left: dev loss of every fresh run, the mean, the search's value. Right: behind the lowest mean, 95 % intervals."""
    standing = results.study.standing
    placed = [] if standing is None else [f for f in standing.finalists if not f.out and f.dev_nats is not None]
    if standing is None or not placed:
        return style.empty("no finalists trained yet", results.label)
    figure, (left, right) = style.figure(10, 0.42 * len(placed) + 2.0, columns=2, sharey=True)
    for place, finalist in enumerate(placed):
        colour = _colour(finalist, standing)
        runs = [run.dev_nats for run in finalist.runs]
        left.scatter(runs, [place] * len(runs), color=colour, s=18, alpha=0.5, lw=0)
        left.scatter([finalist.dev_nats], [place], color=colour, s=70, marker="|", lw=2.2)
        if finalist.search_nats is not None:
            left.scatter([finalist.search_nats], [place], facecolor="none", edgecolor=style.GREY, marker="D", s=26)
        right.plot([finalist.behind_low, finalist.behind_high], [place, place], color=colour, lw=2.2)
        right.scatter([finalist.behind], [place], color=colour, s=26, zorder=3)
    _legend(left)
    right.axvline(0, color=style.GREY, lw=0.8)
    left.set_yticks(range(len(placed)), [_name(finalist, standing) for finalist in placed])
    left.invert_yaxis()
    left.set(xlabel="dev loss (nats per symbol)", title="Fresh seeds")
    right.set(xlabel="behind the lowest mean (nats, paired 95 %)", title="Who can be told apart")
    _focus(left, right, placed)
    style.small_print(
        figure,
        f"{len(standing.seeds)} fresh seeds each, {standing.resamples:,} resamples of seeds and items · {results.label}",
    )
    return figure


def _colour(finalist: Finalist, standing: Standing) -> str:
    if finalist.trial is None:
        return style.REFERENCE
    return style.GREEN if finalist.name == standing.winner else style.BLUE


def _name(finalist: Finalist, standing: Standing) -> str:
    note = "winner" if finalist.name == standing.winner else "tied" if finalist.tied else ""
    return f"{finalist.name} ({note})" if note else finalist.name


def _legend(axes: Axes) -> None:
    axes.scatter([], [], color=style.GREY, s=18, label="one seed")
    axes.scatter([], [], color=style.GREY, s=70, marker="|", label="mean")
    axes.scatter([], [], facecolor="none", edgecolor=style.GREY, marker="D", s=26, label="in the search")
    axes.legend(fontsize=8)


def _focus(left: Axes, right: Axes, placed: list[Finalist]) -> None:
    """A recipe far behind must not press the finalists into a line: the right axis is theirs, and says where it is."""
    highest = max((f.behind_high or 0.0 for f in placed if f.trial is not None), default=0.0)
    low, high = right.get_xlim()
    if highest and high > 4 * highest:
        right.set_xlim(low if low > -highest else -highest / 4, 1.6 * highest)
        for place, finalist in enumerate(placed):
            if (finalist.behind or 0.0) > 1.6 * highest:
                text = f"{finalist.behind:+.3f} →"
                right.annotate(
                    text, (1.58 * highest, place), ha="right", va="center", fontsize=8, color=style.REFERENCE
                )
