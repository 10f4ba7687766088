"""The curve of one trial as a small SVG, for the dashboard's notes and artifacts.

The pictures are drawn while a study runs, so they are written as text in about a millisecond each. matplotlib
takes a third of a second for one on a busy machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from itertools import groupby
from math import floor, log10

from harness.lecture import RECIPE
from harness.report.palette import BLACK, BLUE, GREY, GRID, PAPER
from harness.store.keys import is_internal, is_reference
from harness.store.study_record import StudyRecord
from harness.store.trial_record import TrialRecord

_COLOURS = {"complete": BLUE, "diverged": BLACK}
"""Colours of the lines by the trial's status; grey for any other."""
_WIDTH, _HEIGHT = 480, 310
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 412, 50, 240
_SCALE = 4 / 3
"""Drawn small and shown larger, so that the text is also readable in a gallery's thumbnails."""
_LEAST_SPAN = 0.05
"""Smallest range of the vertical axis, in nats, so that a flat curve looks flat."""

Place = tuple[float, float]


def curve_picture(record: TrialRecord, study: StudyRecord) -> str:
    """An SVG document with the train and dev loss over a trial's run.

    The horizontal axis covers the whole budget, so that it shows where a pruned trial was stopped. The vertical axis
    ends at log V, the loss of a uniform guess: lines are cut off above it.
    """
    examples = [point.examples for point in record.curve]
    lines = {name: [getattr(point, name) for point in record.curve] for name in ("dev_nats", "train_nats")}
    found = [value for values in lines.values() for value in values if value is not None]
    chance = record.evidence.get("log_vocabulary")
    low, high = _limits(found, chance)
    last = max([*examples, _whole_run(record) or 1])

    def place(seen: float, nats: float) -> Place:
        return (
            _LEFT + (_RIGHT - _LEFT) * seen / last,
            _BOTTOM - (_BOTTOM - _TOP) * (nats - low) / (high - low),
        )

    drawn = [*_frame(record, study, cut=bool(found) and max(found) > high)]
    drawn += _ticks_across(last, place) + _ticks_up(low, high, place)
    for name, dashes in (("dev_nats", ""), ("train_nats", ' stroke-dasharray="7 4"')):
        places = [
            None if value is None else place(seen, value) for seen, value in zip(examples, lines[name], strict=True)
        ]
        drawn += [*_line(places, _COLOURS.get(record.status, GREY), dashes, dots=name == "dev_nats")]
    drawn += _names(lines, place, max([*examples, 1]), low, high)
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH * _SCALE:.0f}" height="{_HEIGHT * _SCALE:.0f}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="DejaVu Sans, Verdana, sans-serif">\n'
        + "\n".join(drawn)
        + "\n</svg>\n"
    )


def outcome(record: TrialRecord) -> str:
    """How a trial ended, in a few words: its verdict if it is complete, else its status."""
    if record.status == "complete":
        return record.verdict or "complete"
    return record.status if record.status != "pruned" else f"pruned{_reached(record)}"


def _reached(record: TrialRecord) -> str:
    whole = _whole_run(record)
    return f" at {record.curve[-1].examples / whole:.0%} of its run" if whole and record.curve else ""


def _whole_run(record: TrialRecord) -> int | None:
    """The run's budget in examples; None if the budget is in seconds."""
    config = record.config
    steps = None if config is None else config.budget.total_steps(config.batch_size)
    return None if config is None or steps is None else steps * config.batch_size


def _limits(values: list[float], chance: float | None) -> tuple[float, float]:
    if not values:
        return 0.0, chance or 1.0
    low, high = min(values), max(values)
    if chance is not None and low < chance:
        high = min(high, chance)
    margin = max(_LEAST_SPAN - (high - low), 0.1 * (high - low)) / 2
    return low - margin, high + margin


def _frame(record: TrialRecord, study: StudyRecord, cut: bool) -> Iterable[str]:
    examples = study.corpus.examples
    title = f"{run_name(record, study)}: {outcome(record)}"
    under = f"{study.corpus.short} · train n={examples['train']:,}, dev n={examples['dev']:,}"
    yield f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="{PAPER}"/>'
    yield (
        f'<clipPath id="inside"><rect x="{_LEFT}" y="{_TOP}" width="{_RIGHT - _LEFT + 4}" '
        f'height="{_BOTTOM - _TOP}"/></clipPath>'
    )
    yield _text(10, 22, title, size=17, extra=' font-weight="bold"')
    above = " · lines are cut off above log V" if cut else ""
    yield _text(10, 40, f"loss in nats per symbol{above}", size=13, colour=GREY)
    yield _text(_RIGHT, _BOTTOM + 36, "examples seen", size=13, extra=' text-anchor="end"')
    yield _text(10, _HEIGHT - 10, under, size=11, colour=GREY)


def run_name(record: TrialRecord, study: StudyRecord) -> str:
    """The name of a run in titles: a trial of the search, the recipe, or a fresh run of a finalist."""
    if is_reference(study.key):
        return f"The {RECIPE}"
    if is_internal(study.key):
        return f"Trial {record.params['trial']}, fresh seed {record.params['repeat'] + 1}"
    return f"Trial {record.number}"


def _ticks_across(last: int, place: Callable[[float, float], Place]) -> list[str]:
    drawn = []
    for tick in _round_steps(0, last, 4):
        x, _ = place(tick, 0)
        drawn.append(_text(x, _BOTTOM + 18, _short(tick), size=12, extra=' text-anchor="middle"'))
    return drawn


def _ticks_up(low: float, high: float, place: Callable[[float, float], Place]) -> list[str]:
    drawn = []
    for tick in _round_steps(low, high, 5):
        _, y = place(0, tick)
        drawn.append(f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>')
        drawn.append(_text(_LEFT - 8, y + 4, f"{tick:.4g}", size=12, extra=' text-anchor="end"'))
    return drawn


def _round_steps(low: float, high: float, about: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between two numbers: about this many."""
    rough = (high - low) / about
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.999 * rough)
    first = -floor(-low / step)
    return [number * step for number in range(first, floor(high / step + 1e-9) + 1)]


def _short(number: float) -> str:
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:g}{unit}"
    return f"{number:g}"


def _line(places: list[Place | None], colour: str, dashes: str, dots: bool) -> Iterable[str]:
    """A line through the points, with a gap where a loss was not finite."""
    for there, part in groupby(places, key=lambda found: found is not None):
        if there:
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in filter(None, part))
            shape = f'fill="none" stroke="{colour}" stroke-width="2.5"{dashes}'
            yield f'<polyline clip-path="url(#inside)" points="{points}" {shape}/>'
    if dots:
        for x, y in filter(None, places):
            yield f'<circle clip-path="url(#inside)" cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'


def _names(
    lines: dict[str, list[float | None]],
    place: Callable[[float, float], Place],
    seen: int,
    low: float,
    high: float,
) -> list[str]:
    """Each line's name and last loss at its end, moved so that they do not overlap."""
    ends = {}
    for name, values in lines.items():
        there = [value for value in values if value is not None]
        if there:
            ends[name] = (place(seen, min(max(there[-1], low), high))[1], there[-1])
    if len(ends) == 2 and abs(ends["dev_nats"][0] - ends["train_nats"][0]) < 30:
        middle = (ends["dev_nats"][0] + ends["train_nats"][0]) / 2
        above = -1 if ends["dev_nats"][1] >= ends["train_nats"][1] else 1
        ends["dev_nats"] = (middle + 15 * above, ends["dev_nats"][1])
        ends["train_nats"] = (middle - 15 * above, ends["train_nats"][1])
    x, _ = place(seen, low)
    drawn = []
    for name, (y, nats) in ends.items():
        drawn.append(_text(x + 8, y, name.removesuffix("_nats"), size=13, colour=GREY))
        drawn.append(_text(x + 8, y + 14, f"{nats:.4f}" if nats < 100 else f"{nats:.0f}", size=13))
    return drawn


def _text(x: float, y: float, text: str, *, size: int, colour: str = BLACK, extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}"{extra}>{escape(text)}</text>'
