"""Figures that compare several studies."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from harness.report import palette
from harness.report.frames import curves_frame, trials_frame
from harness.report.plots import style
from harness.report.plots.curves import examples_axis
from harness.report.plots.plot import Plot
from harness.report.plots.search import focus
from harness.report.results import Results

Several = list[Results]
_COLOURS = (palette.BLUE, palette.VERMILION, palette.GREEN, palette.ORANGE, palette.SKY, palette.BLACK)
_DASHES = ("-", "--", ":", "-.")


def _progress(several: Several) -> pd.DataFrame:
    """All trials in order, with the lowest dev loss of a complete trial and the training seconds so far."""
    frames = []
    for results in several:
        frame = trials_frame(results)[["trial", "status", "seconds", "dev_nats"]]
        complete = frame["dev_nats"].where(frame["status"] == "complete").astype(float)
        frames.append(
            frame.assign(
                study=results.study.key,
                best_so_far=complete.cummin().ffill(),
                seconds_so_far=frame["seconds"].astype(float).fillna(0.0).cumsum(),
                fingerprint=results.study.corpus.fingerprint,
            )
        )
    columns = ["study", "trial", "status", "dev_nats", "best_so_far", "seconds_so_far", "fingerprint"]
    return pd.concat(frames)[columns] if frames else pd.DataFrame(columns=columns)


def _draw_progress(frame: pd.DataFrame, several: Several, over: str, axis: str, title: str) -> Figure:
    shown = frame[frame["best_so_far"].notna()]
    if shown.empty:
        return style.empty("no complete trial yet", _corpora(several))
    figure, (axes,) = style.figure(style.NARROW, 3.9)
    axes.set_title(title)
    for place, (key, points) in enumerate(shown.groupby("study", sort=False)):
        axes.step(points[over], points["best_so_far"], where="post", label=key, **_line_style(place))
    focus(axes, shown["best_so_far"], [])
    axes.set(xlabel=axis, ylabel="best dev loss so far (nats per symbol)")
    if over == "seconds_so_far":
        axes.xaxis.set_major_formatter(style.big_numbers)
    style.legend_above(axes)
    style.small_print(figure, _corpora(several))
    return figure


def _line_style(place: int) -> dict[str, Any]:
    return {"color": _COLOURS[place % len(_COLOURS)], "ls": _DASHES[(place // len(_COLOURS)) % len(_DASHES)]}


def _corpora(several: Several) -> str:
    """Each corpus once, with its fingerprint and sizes."""
    return " · ".join(dict.fromkeys(results.label for results in several))


def _alt_progress(frame: pd.DataFrame, over: str) -> str:
    ends = frame[frame["best_so_far"].notna()].groupby("study", sort=False).last()
    parts = [f"{row.Index} reaches {row.best_so_far:.4f} after {getattr(row, over):,.0f}" for row in ends.itertuples()]
    return f"Best dev loss so far against {over.replace('_', ' ')}: {'; '.join(parts) or 'none'}."


def _curves(several: Several) -> pd.DataFrame:
    frames = []
    for results in several:
        if results.chosen is not None:
            curves = curves_frame(results)
            mine = curves[curves["trial"] == results.chosen.trial.number]
            frames.append(mine.assign(study=results.study.key))
    columns = ["study", "run", "examples", "train_nats", "dev_nats", "fingerprint"]
    return pd.concat(frames)[columns] if frames else pd.DataFrame(columns=columns)


def _draw_curves(frame: pd.DataFrame, several: Several) -> Figure:
    if frame.empty:
        return style.empty("no complete trial yet", _corpora(several))
    figure, (axes,) = style.figure(style.NARROW, 4.2)
    axes.set_title("The chosen trials' curves")
    for place, (key, points) in enumerate(frame.groupby("study", sort=False)):
        colour = _line_style(place)["color"]
        run = points["run"].iloc[0]
        axes.plot(points["examples"], points["dev_nats"], color=colour, marker="o", ms=3, label=f"{key}, {run}")
        axes.plot(points["examples"], points["train_nats"], color=colour, ls="--", lw=1.2)
    axes.plot([], [], color=palette.GREY, ls="--", lw=1.2, label="train")
    focus(axes, pd.concat([frame["dev_nats"], frame["train_nats"]]), [])
    examples_axis(axes)
    axes.set_ylabel("loss (nats per symbol)")
    style.legend_above(axes, columns=1)
    style.small_print(figure, _corpora(several))
    return figure


def _alt_curves(frame: pd.DataFrame) -> str:
    ends = frame.groupby("study", sort=False).last()
    parts = [f"{r.Index}, {r.run}: dev {r.dev_nats:.4f}, train {r.train_nats:.4f}" for r in ends.itertuples()]
    return f"Train and dev loss of each study's chosen trial. At the end: {'; '.join(parts)}."


_READING = (
    "One line for each study: the lowest dev loss of a complete trial so far. Lower and further to the left is better. "
    "{}"
)
COMPARED: tuple[Plot[Several], ...] = (
    Plot(
        "progress_trials",
        "Best so far, by trials",
        _READING.format("Compare searches by trials if their trials cost the same."),
        _progress,
        partial(_draw_progress, over="trial", axis="trial", title="Best so far, by trials"),
        partial(_alt_progress, over="trial"),
    ),
    Plot(
        "progress_seconds",
        "Best so far, by training time",
        _READING.format(
            "Seconds cover training only, summed over all workers and trials, pruned ones included. They are rough."
        ),
        _progress,
        partial(
            _draw_progress,
            over="seconds_so_far",
            axis="seconds of training so far",
            title="Best so far, by training time",
        ),
        partial(_alt_progress, over="seconds_so_far"),
    ),
    Plot(
        "curves",
        "The chosen trials' curves",
        "Solid lines with dots are dev loss; dashed lines are train loss, in the colour of the study. The distance "
        "between the two is the gap.",
        _curves,
        _draw_curves,
        _alt_curves,
    ),
)
