"""The colours of all figures, pages and the dashboard (colour-blind safe, Okabe & Ito 2008)."""

from __future__ import annotations

BLACK, ORANGE, SKY, GREEN = "#000000", "#e69f00", "#56b4e9", "#009e73"
BLUE, VERMILION, PURPLE = "#0072b2", "#d55e00", "#cc79a7"
INK, GREY, FRAME, GRID, PAPER = "#1b1b1b", "#767676", "#9a9a9a", "#e2e2e2", "#ffffff"
REFERENCE = VERMILION
LEVELS = ("#b4d0e8", "#86b6dc", "#5799cb", "#2f7cb5", "#115c98", "#083b6e")
"""Six steps from low to high, or from early to late. In dark mode they run from dim to bright."""

_LIGHT = {
    "black": BLACK, "orange": ORANGE, "sky": SKY, "green": GREEN, "blue": BLUE, "vermilion": VERMILION,
    "purple": PURPLE, "ink": INK, "grey": GREY, "frame": FRAME, "grid": GRID, "paper": PAPER,
} | {f"level{place}": colour for place, colour in enumerate(LEVELS)}  # fmt: skip
_DARK = {
    "black": "#f2f2f2", "orange": "#f0b030", "sky": "#7cc8f4", "green": "#2fc79a", "blue": "#4aa8e8",
    "vermilion": "#ff8a3d", "purple": "#e5a3c8", "ink": "#ececec", "grey": "#a6abb0", "frame": "#7b8288",
    "grid": "#30363b", "paper": "#14171a", "level0": "#24485f", "level1": "#2c6285", "level2": "#377dab",
    "level3": "#559bcb", "level4": "#85bce2", "level5": "#c4e2f8",
}  # fmt: skip
VARIABLES = {colour: f"var(--{name})" for name, colour in _LIGHT.items()}
"""Each colour's variable in the style sheet of a page."""


def css_variables(*, dark: bool) -> str:
    """The palette as CSS declarations, for light or for dark mode."""
    return " ".join(f"--{name}: {colour};" for name, colour in (_DARK if dark else _LIGHT).items())
