"""Two figures that this package adds to a study's dashboard: the best trials' curves, and the search in order.

They are plotly documents, plain data that its JavaScript draws. Writing them does not need plotly for Python.
"""

from __future__ import annotations

from typing import Any

from harness.dashboard.curve_picture import run_name
from harness.lecture import RECIPE
from harness.report.palette import BLACK, BLUE, GREEN, GREY, GRID, ORANGE, PAPER, PURPLE, REFERENCE, SKY
from harness.report.results import Results
from harness.store.keys import is_reference
from harness.store.trial_record import TrialRecord

BEST = 5
"""Trials whose curves are drawn, two lines for each."""
_COLOURS = (BLUE, GREEN, ORANGE, SKY, PURPLE)
_LOSS = "loss (nats per symbol)"

Document = dict[str, Any]


def figures(results: Results) -> dict[str, Document]:
    """The documents by their names in the dashboard; a reference has no search to show."""
    if is_reference(results.study.key):
        return {"train-and-dev-curves": curves_document(results)}
    return {"train-and-dev-curves": curves_document(results), "search-in-order": order_document(results)}


def curves_document(results: Results) -> Document:
    """Dev (solid) and train (dashed) loss over the runs of the best complete trials and of the reference."""
    complete = [t for t in results.trials if t.status == "complete" and t.objective_nats is not None]
    best = sorted(complete, key=_objective)[:BEST]
    shown = [(run_name(trial, results.study), colour, trial) for trial, colour in zip(best, _COLOURS, strict=False)]
    if results.reference is not None:
        shown.append((f"The {RECIPE}", REFERENCE, results.reference))
    traces: list[Document] = []
    for name, colour, trial in shown:
        seen = [point.examples for point in trial.curve]
        for split, dash in (("dev", "solid"), ("train", "dash")):
            losses = [_rounded(getattr(point, f"{split}_nats")) for point in trial.curve]
            line = {"color": colour, "dash": dash, "width": 2}
            group = {"legendgroup": name, "mode": "lines", "type": "scatter"}
            traces.append({"x": seen, "y": losses, "name": f"{name}, {split}", "line": line} | group)
    layout = _layout("Train and dev loss of the best trials", results)
    layout["xaxis"] |= {"title": {"text": "examples seen"}, "rangemode": "tozero"}
    layout["yaxis"] |= _focus([value for trace in traces for value in trace["y"]], 0.9)
    return {"data": traces, "layout": layout}


def order_document(results: Results) -> Document:
    """Dev loss of the trials in order, marked as complete, pruned or diverged, and the best so far."""
    looks = {
        "complete": (_COLOURS[0], "circle"),
        "pruned": (GREY, "x-thin-open"),
        "diverged": (BLACK, "x"),
    }
    focus = _focus([trial.objective_nats for trial in results.trials if trial.status in ("complete", "pruned")], 0.85)
    top = focus["range"][1] if focus else None
    traces: list[Document] = []
    for status, (colour, symbol) in looks.items():
        trials = [trial for trial in results.trials if trial.status == status]
        if not trials:
            continue
        # A loss above the axis, or one that is not finite, is drawn at its upper end, so it does not change the scale.
        losses = [trial.objective_nats for trial in trials]
        heights = [top if nats is None else _rounded(_under(top, nats)) for nats in losses]
        texts = [f"{run_name(trial, results.study)}: {_detail(trial)}" for trial in trials]
        marker = {"color": colour, "symbol": symbol, "size": 8, "line": {"color": colour, "width": 2}}
        traces.append(
            {
                "x": [trial.number for trial in trials],
                "y": heights,
                "text": texts,
                "hoverinfo": "text",
                "type": "scatter",
            }
            | {"mode": "markers", "name": f"{status} ({len(trials)})", "marker": marker, "cliponaxis": False}
        )
    traces.append(_best_so_far(results))
    mixed = "mixed " if results.study.objective == "mixed" else ""
    layout = _layout(f"The search in order, {mixed}dev loss", results)
    layout["xaxis"] |= {"title": {"text": "trial"}}
    layout["yaxis"] |= focus
    return {"data": traces, "layout": layout}


def _best_so_far(results: Results) -> Document:
    numbers: list[int] = []
    lowest: list[float] = []
    for trial in results.trials:
        if trial.status == "complete" and trial.objective_nats is not None:
            numbers.append(trial.number)
            lowest.append(round(min([trial.objective_nats, *lowest[-1:]]), 4))
    line = {"color": _COLOURS[0], "shape": "hv", "width": 2}
    return {"x": numbers, "y": lowest, "name": "best so far", "mode": "lines", "type": "scatter", "line": line}


def _detail(trial: TrialRecord) -> str:
    return f"{trial.losses or 'not finite'}, {trial.verdict or trial.status}"


def _layout(title: str, results: Results) -> Document:
    axis = {"gridcolor": GRID, "zeroline": False, "automargin": True}
    return {
        "title": {"text": f"{title}<br><sub>{results.label}</sub>", "x": 0, "xref": "paper", "font": {"size": 15}},
        "xaxis": dict(axis),
        "yaxis": axis | {"title": {"text": _LOSS}},
        "margin": {"l": 60, "r": 10, "t": 60, "b": 110},
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "font": {"size": 11}},
        "hovermode": "closest",
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "font": {"color": BLACK},
    }


def _focus(values: list[float | None], share: float) -> Document:
    """An axis range over this share of the losses, from the lowest up, so that high ones do not flatten the rest."""
    found = sorted(value for value in values if value is not None)
    if not found:
        return {}
    low, high = found[0], found[min(len(found) - 1, round(share * len(found)))]
    margin = 0.05 * (high - low) or 0.01
    return {"range": [round(low - margin, 4), round(high + margin, 4)]}


def _objective(trial: TrialRecord) -> float:
    return float("inf") if trial.objective_nats is None else trial.objective_nats


def _under(top: float | None, value: float) -> float:
    return value if top is None else min(top, value)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
