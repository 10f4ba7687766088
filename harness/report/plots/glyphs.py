"""Symbols that a figure's font lacks: drawn in an installed font that has them, else as code points such as U+4E2D."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import cache

from matplotlib import font_manager
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font, LoadFlags
from matplotlib.text import Text

_SMALLER = 0.7
"""Size of code points, which are six times as long as a symbol, relative to the text's own."""
_NAMED = 3
"""Symbols that a notice names."""


def make_readable(figure: Figure) -> set[str]:
    """Give every text with symbols that its font lacks another font, or code points.

    Call it before anything is measured: matplotlib warns of each missing glyph that it measures or draws.

    Returns:
        The symbols that are drawn as code points, because no installed font has them.
    """
    unknown: set[str] = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            unknown |= _relabel(axis)
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        shown = text.get_text()
        families, absent = _fonts_for(shown, text.get_fontproperties())
        if families or absent:
            text.set_fontfamily([*text.get_fontfamily(), *families])
            text.set_text(_with_code_points(shown, absent))
        if absent.issuperset(shown) and shown:
            text.set_fontsize(_SMALLER * float(text.get_fontsize()))
        unknown |= absent
    return unknown


def notice(unknown: Iterable[str]) -> str:
    """One line about symbols that are drawn as code points; empty if there are none."""
    symbols = sorted(unknown)
    if not symbols:
        return ""
    named = ", ".join(f"{symbol} as U+{ord(symbol):04X}" for symbol in symbols[:_NAMED])
    more = f" and {len(symbols) - _NAMED} more" if len(symbols) > _NAMED else ""
    return (
        f"no installed font has {len(symbols)} of the symbols, so plots show code points: {named}{more}. Install a "
        "font that has them, such as one of the Noto fonts, and run make report."
    )


def _relabel(axis: Axis) -> set[str]:
    """Fix the tick labels of an axis, which its formatter would write again at every drawing."""
    ticks = axis.get_ticklabels()
    if not ticks or all(tick.get_text().isascii() for tick in ticks):
        return set()
    properties = ticks[0].get_fontproperties()
    families, absent = _fonts_for("".join(tick.get_text() for tick in ticks), properties)
    if families or absent:
        low, high = axis.get_view_interval()
        shown = [_with_code_points(tick.get_text(), absent) for tick in ticks]
        axis.set_ticks(axis.get_majorticklocs(), shown, fontfamily=[*properties.get_family(), *families])
        axis.set_view_interval(low, high, ignore=True)
    if absent:
        axis.set_tick_params(labelsize=_SMALLER * float(ticks[0].get_fontsize()))
        if isinstance(axis, XAxis):
            axis.set_tick_params(rotation=90)
    return absent


def _with_code_points(text: str, absent: set[str]) -> str:
    return "".join(f"U+{ord(symbol):04X}" if symbol in absent else symbol for symbol in text)


def _fonts_for(text: str, properties: FontProperties) -> tuple[list[str], set[str]]:
    """Further font families that a text needs, and the symbols that no installed font has."""
    if text.isascii():
        return [], set()
    symbols = {symbol for symbol in text if symbol != "\n"}
    missing = symbols - _drawable(font_manager.findfont(properties), frozenset(symbols))
    families: list[str] = []
    for name, has in _installed(frozenset(missing), str(properties.get_weight())) if missing else []:
        if missing & has:
            families.append(name)
            missing = missing - has
    return families, missing


@cache
def _installed(symbols: frozenset[str], weight: str) -> list[tuple[str, frozenset[str]]]:
    """Installed families with those of the symbols that they have, the most first; none without any."""
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for path in sorted(set(font_manager.findSystemFonts()) - known):
        with suppress(Exception):  # a font installed since matplotlib listed them; some kinds cannot be read
            font_manager.fontManager.addfont(path)
    regular = {e.name: e.fname for e in font_manager.fontManager.ttflist if e.style == "normal" and e.weight == 400}
    found = []
    for name, path in sorted(regular.items()):
        if name.startswith("Last Resort") or not _drawable(path, symbols):  # that font has a box for every symbol
            continue
        used = font_manager.findfont(FontProperties(family=name, weight=weight))
        found.append((name, _drawable(used, symbols)))
    return sorted(found, key=lambda pair: -len(pair[1]))


@cache
def _drawable(path: str, symbols: frozenset[str]) -> frozenset[str]:
    """Those of the symbols that a font file has an outline for, or that are blank in any font."""
    try:
        font = FT2Font(path)
        return frozenset(symbol for symbol in symbols if _has_outline(font, symbol))
    except (OSError, RuntimeError):
        return frozenset()


def _has_outline(font: FT2Font, symbol: str) -> bool:
    """Fonts of coloured emoji have the symbols, but no outlines that matplotlib could draw."""
    if not font.get_char_index(ord(symbol)):
        return False
    left, bottom, right, top = font.load_char(ord(symbol), flags=LoadFlags.NO_SCALE).bbox
    return symbol.isspace() or (left < right and bottom < top)
