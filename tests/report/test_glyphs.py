"""Figures of any script on any machine: other fonts, else code points; and Agg, whatever the environment says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness import paths
from harness.report.plots import style
from harness.report.plots.glyphs import notice
from tests.tiny_study import write_items, write_study

IN_DEJAVU_SERIF_ONLY = "⤀"
IN_NO_FONT_OF_MATPLOTLIB = "\U0001f9ff"  # an emoji, which only fonts with colours have


@pytest.fixture
def drawn() -> Iterator[tuple[Figure, Axes]]:
    with style.look():
        figure, (axes,) = style.figure(4, 3)
        yield figure, axes


def save(figure: Figure, tmp_path: Path) -> set[str]:
    """Warnings are errors in tests, also those of missing glyphs."""
    unknown = style.settle(figure)
    for ending in ("png", "svg"):
        figure.savefig(tmp_path / f"plot.{ending}")
    return unknown


def test_a_symbol_that_another_font_has_is_drawn_in_that_font(drawn: tuple[Figure, Axes], tmp_path: Path):
    figure, axes = drawn
    text = axes.text(0.5, 0.5, IN_DEJAVU_SERIF_ONLY)
    assert save(figure, tmp_path) == set()
    assert text.get_text() == IN_DEJAVU_SERIF_ONLY
    assert text.get_fontfamily() == ["DejaVu Sans", "DejaVu Serif"]


def test_a_symbol_that_no_font_has_is_drawn_as_its_code_point(drawn: tuple[Figure, Axes], tmp_path: Path):
    figure, axes = drawn
    axes.set_title(f"é {IN_NO_FONT_OF_MATPLOTLIB}")
    assert save(figure, tmp_path) == {IN_NO_FONT_OF_MATPLOTLIB}
    assert axes.get_title(loc="left") == "é U+1F9FF"
    assert "U+1F9FF" in (tmp_path / "plot.svg").read_text(encoding="utf-8")


def test_tick_labels_that_a_formatter_writes_are_code_points_too(drawn: tuple[Figure, Axes], tmp_path: Path):
    figure, axes = drawn
    axes.bar([IN_NO_FONT_OF_MATPLOTLIB, "a", IN_DEJAVU_SERIF_ONLY], [1, 2, 3])
    limits = axes.get_xlim()
    assert save(figure, tmp_path) == {IN_NO_FONT_OF_MATPLOTLIB}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["U+1F9FF", "a", IN_DEJAVU_SERIF_ONLY]
    assert axes.get_xlim() == limits


def test_labels_in_latin_greek_and_cyrillic_stay_as_they_are(drawn: tuple[Figure, Axes], tmp_path: Path):
    figure, axes = drawn
    text = axes.text(0.5, 0.5, "é · ω ж −1\u00a0%")
    assert save(figure, tmp_path) == set()
    assert text.get_fontfamily() == ["DejaVu Sans"]


def test_a_notice_names_three_symbols_and_counts_the_others():
    assert notice("") == ""
    assert "has 1 of the symbols, so plots show code points: 中 as U+4E2D. Install" in notice("中")
    assert "has 5 of the symbols" in notice("中文字和符")
    assert "and 2 more. Install" in notice("中文字和符")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "no-such-backend", "TkAgg"])
def test_a_report_is_drawn_whatever_backend_the_environment_names(backend: str, tmp_path: Path):
    """A notebook's MPLBACKEND reaches `!make study`, and a matplotlibrc in the current folder is the user's own."""
    (tmp_path / "matplotlibrc").write_text("backend: TkAgg\ntext.usetex: True\n", encoding="utf-8")
    items = write_items(tmp_path / "items.txt")
    text = items.read_text(encoding="utf-8")
    items.write_text(text.replace("ka", f"中{IN_NO_FONT_OF_MATPLOTLIB}").replace("ti", "हि"), encoding="utf-8")
    write_study(trials=2, budget="steps=20", evaluations=2, finalists=1)
    command = [sys.executable, "-m", "harness", "study", "tiny", "--corpus", str(items), "--workers", "1"]
    environment = os.environ | {"MPLBACKEND": backend, "COLUMNS": "500"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("so plots show code points") == 1
    folder = paths.results_folder() / "tiny-items"
    assert "U+1F9FF" in (folder / "plots" / "embedding.svg").read_text(encoding="utf-8")
    assert IN_NO_FONT_OF_MATPLOTLIB in (folder / "plots" / "embedding.csv").read_text(encoding="utf-8")


def test_the_backend_of_a_notebook_is_kept():
    program = (
        "import os, harness.report.plots.style, matplotlib; "
        "print(matplotlib.rcParams['backend'], os.environ['MPLBACKEND'])"
    )
    environment = os.environ | {"MPLBACKEND": "svg"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.split() == ["svg", "svg"]
