"""Figures of losses over runs and at their end: train and dev curves, every trial, train against dev."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.lecture import RECIPE
from harness.report import palette
from harness.report.frames import complete_frame, curves_frame, lines_frame
from harness.report.plots import style
from harness.report.plots.plot import Plot
from harness.report.results import Results
from harness.train.diagnose import LARGE_GAP, SMALL_GAP
from harness.words import plural

_LINES = {
    "lecture's": (palette.REFERENCE, ":"),
    "counted": (palette.GREEN, "--"),
    "mixed": (palette.ORANGE, "--"),
    "floor": (palette.GREY, "-."),
}
_COLUMNS = ["run", "examples", "train_nats", "dev_nats"]


def chosen_name(results: Results) -> str:
    """`winner (trial 12)`; `best (trial 12)` before the finalists' round; empty without a complete trial."""
    chosen = results.chosen
    return "" if chosen is None else f"{'winner' if chosen.runs else 'best'} (trial {chosen.trial.number})"


def _curves(results: Results) -> pd.DataFrame:
    """Evaluations of the chosen trial and of the recipe, then the levels to compare with, which have no `examples`."""
    curves = curves_frame(results)
    number = -1 if results.chosen is None else results.chosen.trial.number
    mine = curves[curves["trial"] == number].assign(run=f"{chosen_name(results)}, its run in the search")
    return pd.concat([mine[_COLUMNS], curves.loc[curves["trial"].isna(), _COLUMNS], _levels(results)])


def _levels(results: Results) -> pd.DataFrame:
    lines = lines_frame(results)
    nats = {f"{split}_nats": lines["nats"].where(lines["split"] == split) for split in ("train", "dev")}
    return pd.DataFrame({"run": lines["line"], "examples": pd.NA} | nats)


def draw_curves(frame: pd.DataFrame, results: Results) -> Figure:
    runs, levels = frame[frame["examples"].notna()], frame[frame["examples"].isna()]
    if runs.empty:
        return style.empty("no complete trial yet", results.label)
    figure, (axes,) = style.figure(style.NARROW, 4.3)
    axes.set_title("Train and dev loss over the run")
    for run, points in runs.groupby("run", sort=False):
        colour = palette.REFERENCE if run == RECIPE else palette.BLUE
        axes.plot(points["examples"], points["dev_nats"], color=colour, marker="o", ms=3, label=f"{run}, dev")
        axes.plot(points["examples"], points["train_nats"], color=colour, ls="--", lw=1.3, label="… train")
    low, high = _limits(pd.concat([runs["train_nats"], runs["dev_nats"]]), levels)
    draw_levels(axes, levels, low, high)
    examples_axis(axes)
    axes.set_ylabel("loss (nats per symbol)")
    style.legend_above(axes)
    style.small_print(figure, results.label)
    return figure


def draw_levels(axes: Axes, levels: pd.DataFrame, low: float, high: float) -> None:
    """Horizontal lines with their names and losses in the legend, which also says if one is outside the axis."""
    for row in levels.to_dict("records"):
        nats = row["dev_nats"] if pd.notna(row["dev_nats"]) else row["train_nats"]
        colour, dash = next(
            (look for start, look in _LINES.items() if row["run"].startswith(start)), (palette.BLACK, ":")
        )
        outside = "" if low <= nats <= high else " (below)" if nats < low else " (above)"
        axes.axhline(nats, color=colour, lw=1.1, ls=dash, label=f"{row['run']}, {nats:.3f}{outside}")
    axes.set_ylim(low, high)


def _limits(losses: pd.Series, levels: pd.DataFrame) -> tuple[float, float]:
    """Limits of the axis: high first evaluations must not flatten the rest; levels are included unless far below."""
    losses = losses.dropna().astype(float)
    marks = pd.concat([levels["dev_nats"], levels["train_nats"]]).dropna().astype(float)
    top = max([float(losses.quantile(0.85)), *marks])
    low = float(losses.min())
    low = min([low, *(mark for mark in marks if mark > low - 1.2 * (top - low))])
    margin = 0.05 * (top - low) or 0.01
    return low - margin, top + margin


def examples_axis(axes: Axes) -> None:
    axes.set_xlabel("training examples seen")
    axes.xaxis.set_major_formatter(style.big_numbers)


def _alt_curves(frame: pd.DataFrame) -> str:
    runs = frame[frame["examples"].notna()]
    ends = [
        f"{run} ends at dev {points['dev_nats'].iloc[-1]:.4f} and train {points['train_nats'].iloc[-1]:.4f}"
        for run, points in runs.groupby("run", sort=False)
    ]
    levels = frame[frame["examples"].isna()]
    nats = levels["dev_nats"].fillna(levels["train_nats"]).astype(float)
    marks = [f"{run} {level:.4f}" for run, level in zip(levels["run"], nats, strict=True)]
    return f"Line plot of loss over training examples. {'; '.join(ends)}. Lines: {'; '.join(marks) or 'none'}."


def _trial_curves(results: Results) -> pd.DataFrame:
    curves = curves_frame(results)
    curves = curves[curves["trial"].notna()]
    runs = curves[["run", "status", "examples", "dev_nats"]]
    return pd.concat([runs, _levels(results)[["run", "examples", "dev_nats", "train_nats"]]])


def draw_trial_curves(frame: pd.DataFrame, results: Results) -> Figure:
    runs, levels = frame[frame["examples"].notna()], frame[frame["examples"].isna()]
    if runs["dev_nats"].notna().sum() == 0:
        return style.empty("no evaluation with a finite loss yet", results.label)
    figure, (axes,) = style.figure(style.NARROW, 4.3)
    axes.set_title("Dev loss of every trial")
    for _, points in runs.groupby("run"):
        colour = palette.BLUE if points["status"].iloc[0] == "complete" else palette.GREY
        axes.plot(points["examples"], points["dev_nats"], color=colour, alpha=0.45, lw=0.9)
    axes.plot([], [], color=palette.BLUE, label="complete")
    axes.plot([], [], color=palette.GREY, label="stopped early")
    losses = runs["dev_nats"].dropna().astype(float)
    marks = levels["dev_nats"].dropna().astype(float)
    low, high = min([losses.min(), *marks]), max([losses.quantile(0.9), *marks])
    margin = 0.05 * (high - low) or 0.01
    draw_levels(axes, levels[levels["dev_nats"].notna()], low - margin, high + margin)
    examples_axis(axes)
    axes.set_ylabel("dev loss (nats per symbol)")
    style.legend_above(axes)
    style.small_print(figure, results.label)
    return figure


def _alt_trial_curves(frame: pd.DataFrame) -> str:
    runs = frame[frame["examples"].notna()]
    ended = runs.groupby("run")["status"].first().value_counts()
    return f"Dev loss over examples, a line for each of {plural(int(ended.sum()), 'trial')}: {counted(ended)}."


def counted(counts: pd.Series) -> str:
    """`12 complete, 3 pruned`."""
    return ", ".join(f"{count} {what}" for what, count in counts.items())


def _train_against_dev(results: Results) -> pd.DataFrame:
    frame = complete_frame(results)
    frame = frame.loc[frame["verdict"].notna(), ["trial", "verdict", "train_nats", "dev_nats", "gap", "gap_error"]]
    frame = frame.assign(run=[f"trial {number}" for number in frame["trial"]])
    if results.reference is not None and results.reference.dev_nats is not None:
        recipe = results.reference.model_dump(include={"verdict", "train_nats", "dev_nats", "gap", "gap_error"})
        frame = pd.concat([frame.astype(object), pd.DataFrame([recipe | {"run": RECIPE}]).astype(object)])
    return frame[["run", "verdict", "train_nats", "dev_nats", "gap", "gap_error"]].infer_objects()


def draw_train_against_dev(frame: pd.DataFrame, results: Results) -> Figure:
    """Each complete trial by its final losses; the shaded bands are the gaps that verdicts are based on."""
    trials, recipe = frame[frame["run"] != RECIPE], frame[frame["run"] == RECIPE]
    if trials.empty:
        return style.empty("no complete trial yet", results.label)
    figure, (axes,) = style.figure(style.NARROW, 4.6)
    axes.set_title("Train against dev loss, by verdict")
    for verdict, points in trials.groupby("verdict"):
        colour, marker = style.VERDICTS[str(verdict)], style.MARKERS[str(verdict)]
        name = f"{verdict} ({len(points)})"
        _points(axes, points, colour, marker, name)
    if not recipe.empty:
        _points(axes, recipe, palette.REFERENCE, "*", RECIPE, size=150)
    beyond = _frame_axes(axes, frame)
    _bands(axes)
    axes.set(xlabel="train loss (nats per symbol)", ylabel="dev loss (nats per symbol)")
    style.legend_above(axes)
    far = f"{beyond} outside the axes · " if beyond else ""
    style.small_print(figure, f"{far}{results.label}")
    return figure


def _points(axes: Axes, points: pd.DataFrame, colour: str, marker: str, label: str, size: float = 34) -> None:
    looks = {"color": colour, "marker": marker, "s": size, "edgecolor": palette.PAPER, "lw": 0.6, "label": label}
    style.scatter(axes, points["train_nats"], points["dev_nats"], zorder=3, **looks)


def _frame_axes(axes: Axes, frame: pd.DataFrame) -> int:
    """Set limits that hold the recipe and nine tenths of the trials; returns the number of points outside."""
    recipe = frame["run"] == RECIPE
    limits = []
    for name in ("train_nats", "dev_nats"):
        values = frame[name].astype(float)
        high = max([values[~recipe].quantile(0.92), *values[recipe]])
        margin = 0.06 * (high - values.min()) or 0.05
        limits.append((values.min() - margin, high + margin))
    axes.set(xlim=limits[0], ylim=limits[1])
    return int(((frame["train_nats"] > limits[0][1]) | (frame["dev_nats"] > limits[1][1])).sum())


def _bands(axes: Axes) -> None:
    """Shade gaps below SMALL_GAP as underfitting, above LARGE_GAP as overfitting, between them as well fitted."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    ends = [left, right]
    edges = [-10.0, SMALL_GAP, LARGE_GAP, 10.0]
    named = ("underfitting", "well fitted", "overfitting")
    for verdict, lower, upper in zip(named, edges, edges[1:], strict=False):
        low, high = [end + lower for end in ends], [end + upper for end in ends]
        axes.fill_between(ends, low, high, color=style.VERDICTS[verdict], alpha=0.10, lw=0, zorder=0)
    for gap in (SMALL_GAP, LARGE_GAP):
        axes.plot(ends, [end + gap for end in ends], color=palette.GREY, lw=0.8, ls=":", zorder=1)
        x = left + 0.03 * (right - left)
        if x + gap < bottom:
            x = bottom - gap + 0.03 * (right - left)
        axes.text(
            x, x + gap, f"gap {gap:g}", fontsize=7.5, color=palette.GREY, va="bottom", rotation=45,
            rotation_mode="anchor", transform_rotates_text=True, clip_on=True,
        )  # fmt: skip
    axes.set(xlim=(left, right), ylim=(bottom, top))


def _alt_train_against_dev(frame: pd.DataFrame) -> str:
    trials = frame[frame["run"] != RECIPE]
    best = trials.sort_values("dev_nats").iloc[0]
    verdicts = counted(trials["verdict"].value_counts())
    return (
        f"Scatter of {plural(len(trials), 'complete trial')}, train loss against dev loss: {verdicts}. "
        f"The lowest dev is {best['run']} at train {best['train_nats']:.4f}, dev {best['dev_nats']:.4f}."
    )


CURVES = Plot(
    "curves",
    "Train and dev loss over the run",
    "Solid lines with dots are dev loss, on items the model is not trained on; dashed lines are train loss. While dev "
    "falls, the model learns; if dev rises while train falls, it overfits. The dashed green line is the loss of a "
    "counted n-gram: a model is only useful below it. The dashed orange line is the loss of both mixed, of the "
    "winner's fresh seeds or, before them, of the best trial. The floor is the lowest train loss that any model with "
    "this context length can reach, since the context does not determine the next symbol.",
    _curves,
    draw_curves,
    _alt_curves,
)
TRIAL_CURVES = Plot(
    "trial_curves",
    "Dev loss of every trial",
    "One line for each trial; lower is better. Grey trials were stopped early: by the pruner, by divergence or by an "
    "interruption. If many lines still fall steeply at their end, the budget is too small.",
    _trial_curves,
    draw_trial_curves,
    _alt_trial_curves,
)
TRAIN_AGAINST_DEV = Plot(
    "train_against_dev",
    "Train against dev loss",
    "One mark for each complete trial; lower is better. The bands show the gap, dev minus train. In the bottom band, "
    f"below {SMALL_GAP:g} nats, the model or its context is too small. In the top band, above {LARGE_GAP:g} nats, it "
    "memorises train. A verdict also depends on the curve and on the standard error of the gap, so a mark's "
    "verdict can differ from its band.",
    _train_against_dev,
    draw_train_against_dev,
    _alt_train_against_dev,
)
