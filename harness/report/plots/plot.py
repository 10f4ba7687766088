"""What a plot is: one frame of numbers, one figure of exactly these, and words for who cannot see it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import pandas as pd
from matplotlib.figure import Figure

from harness.files import replacing, write_atomically
from harness.report import palette
from harness.report.plots import style

Shown = TypeVar("Shown")
"""What it is made of: a study's Results, or several."""


@dataclass(frozen=True)
class Plot(Generic[Shown]):
    """One figure with everything that belongs to it; the figure sees no losses but its frame's."""

    name: str
    """Of its files."""
    title: str
    reading: str
    """How to read it, for who has never seen one."""
    data: Callable[[Shown], pd.DataFrame]
    draw: Callable[[pd.DataFrame, Shown], Figure]
    alt: Callable[[pd.DataFrame], str]
    """What it shows, in words and numbers; given a frame that is not empty."""
    wide: bool = False


@dataclass(frozen=True)
class Drawn:
    """A plot as a page takes it."""

    name: str
    title: str
    reading: str
    alt: str
    svg: str
    """An element to stand inside a page, coloured by the page's variables."""
    wide: bool
    empty: bool


def draw(plot: Plot[Shown], shown: Shown, folder: Path, **stamps: str) -> Drawn:
    """Write a plot's csv, svg and png into `folder`; stamps are further columns of the csv, the same in every row.

    Raises:
        StorageError: no right or no space to write there.
    """
    frame = plot.data(shown)
    figure = plot.draw(frame, shown)
    style.settle(figure)
    vector = io.StringIO()
    figure.savefig(vector, format="svg", metadata={"Date": None})
    write_atomically(folder / f"{plot.name}.csv", frame.assign(**stamps).to_csv(index=False))
    write_atomically(folder / f"{plot.name}.svg", vector.getvalue())
    with replacing(folder / f"{plot.name}.png") as path:
        figure.savefig(path)
    alt = "Nothing to show yet." if frame.empty else plot.alt(frame)
    return Drawn(plot.name, plot.title, plot.reading, alt, inline(vector.getvalue(), plot.name), plot.wide, frame.empty)


def inline(svg: str, name: str) -> str:
    """An svg file's element for a page: its size left to the page, its ids its own, its colours variables."""
    text = svg[svg.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    head, body = text.split(">", 1)
    box = re.search(r'viewBox="[^"]+"', head)
    assert box is not None  # every figure of matplotlib has one
    used = set(re.findall(r"#([\w-]+)[\")]", body))
    body = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", body)
    body = body.replace('xlink:href="#', f'href="#{name}-').replace("xlink:href", "href")
    body = body.replace("url(#", f"url(#{name}-")
    body = re.sub(r"#[0-9a-f]{6}\b", lambda m: palette.VARIABLES.get(m[0], m[0]), body)
    body = body.replace("font-family: 'DejaVu Sans'", "font-family: var(--letters)")
    body = re.sub(r"\s*\n\s*", "\n", body)
    return f'<svg {box[0]} aria-hidden="true">{body.rstrip()}'
