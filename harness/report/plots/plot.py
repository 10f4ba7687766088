"""What a plot is: a frame of numbers, a figure of these numbers, a caption and an alternative text."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import pandas as pd
from matplotlib.figure import Figure

from harness.errors import HarnessError, in_one_line
from harness.files import replacing, write_atomically
from harness.report import palette
from harness.report.plots import style

Shown = TypeVar("Shown")
"""What a plot is made from: the Results of a study, or of several."""


@dataclass(frozen=True)
class Plot(Generic[Shown]):
    """One figure with everything that belongs to it. All losses that it shows are in its frame."""

    name: str
    """Name of its files."""
    title: str
    reading: str
    """How to read it, for someone who has never seen such a plot."""
    data: Callable[[Shown], pd.DataFrame]
    draw: Callable[[pd.DataFrame, Shown], Figure]
    alt: Callable[[pd.DataFrame], str]
    """The alternative text, with numbers; called with a frame that is not empty."""
    wide: bool = False


@dataclass(frozen=True)
class Drawn:
    """A drawn plot in the form that templates take."""

    name: str
    title: str
    reading: str
    alt: str
    svg: str
    """An element for inclusion in a page, coloured by the page's CSS variables."""
    wide: bool
    empty: bool
    as_code_points: frozenset[str] = frozenset()
    """Symbols that no installed font has."""
    failure: str = ""
    """Why it could not be drawn, in one line; the figure then says the same."""


@dataclass(frozen=True)
class Made:
    """A plot's numbers and its figure."""

    frame: pd.DataFrame
    figure: Figure
    alt: str
    vector: str
    """The figure as SVG."""
    as_code_points: frozenset[str]
    """Symbols that no installed font has."""
    failure: str = ""


def make(plot: Plot[Shown], shown: Shown) -> Made:
    """Compute and draw a plot. If that fails, the figure says why: the rest of a report can do without one plot.

    Raises:
        HarnessError: what is stored is missing or damaged.
    """
    try:
        frame = plot.data(shown)
        return _drawn(frame, plot.draw(frame, shown), lambda: plot.alt(frame))
    except HarnessError:
        raise
    except Exception as error:
        failure = f"{plot.name} could not be drawn: {in_one_line(error)}"
        nothing = pd.DataFrame({"failure": [failure]})
        return replace(_drawn(nothing, style.empty(textwrap.fill(failure, 56), ""), lambda: failure), failure=failure)


def _drawn(frame: pd.DataFrame, figure: Figure, alt: Callable[[], str]) -> Made:
    unknown = frozenset(style.settle(figure))
    vector = io.StringIO()
    figure.savefig(vector, format="svg", metadata={"Date": None})
    words = "There is nothing to show yet." if frame.empty else alt()
    return Made(frame, figure, words, vector.getvalue(), unknown)


def draw(plot: Plot[Shown], shown: Shown, folder: Path, **stamps: str) -> Drawn:
    """Write a plot's csv, svg and png into `folder`, and return it for a page.

    Args:
        stamps: further columns of the csv, with one value for all rows.

    Raises:
        StorageError: the files cannot be written.
        HarnessError: what is stored is missing or damaged.
    """
    made = make(plot, shown)
    write_atomically(folder / f"{plot.name}.csv", made.frame.assign(**stamps).to_csv(index=False))
    write_atomically(folder / f"{plot.name}.svg", made.vector)
    with replacing(folder / f"{plot.name}.png") as path:
        made.figure.savefig(path)
    return Drawn(
        plot.name,
        plot.title,
        plot.reading,
        made.alt,
        inline(made.vector, plot.name),
        plot.wide,
        empty=made.frame.empty or bool(made.failure),
        as_code_points=made.as_code_points,
        failure=made.failure,
    )


def inline(svg: str, name: str) -> str:
    """An svg file as an element for a page: without its size, with `name` before all ids, and colours as variables."""
    text = svg[svg.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    head, body = text.split(">", 1)
    box = re.search(r'viewBox="[^"]+"', head)
    assert box is not None  # matplotlib always writes one
    used = set(re.findall(r"#([\w-]+)[\")]", body))
    body = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", body)
    body = body.replace('xlink:href="#', f'href="#{name}-').replace("xlink:href", "href")
    body = body.replace("url(#", f"url(#{name}-")
    body = re.sub(r"#[0-9a-f]{6}\b", lambda m: palette.VARIABLES.get(m[0], m[0]), body)
    body = body.replace("font-family: 'DejaVu Sans'", "font-family: var(--letters)")
    body = re.sub(r"\s*\n\s*", "\n", body)
    return f'<svg {box[0]} aria-hidden="true">{body.rstrip()}'
