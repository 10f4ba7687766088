"""Interleaved timing on one core, and its results."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil

Burst = Callable[[], float]
"""Does a fixed amount of work and returns the seconds per unit of work."""


@dataclass(frozen=True)
class Row:
    """One contender's result in one comparison."""

    section: str
    what: str
    contender: str
    unit: str
    median: float | None = None
    """None if the contender was skipped; `note` gives the reason."""
    low: float | None = None
    high: float | None = None
    repeats: int = 0
    times_ours: float | None = None
    """Median over repeats of this contender's time divided by ours in the same repeat; 3.0 means 3 times as long."""
    goal: str = ""
    """The project's goal for this figure, if it has one."""
    note: str = ""


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process, with all its threads, on one core if the operating system supports it."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    _keep_on({max(allowed)})
    try:
        yield
    finally:
        _keep_on(allowed)


def _keep_on(cores: set[int]) -> None:
    """Move every existing thread. A thread that starts later inherits the cores of the thread that starts it."""
    for thread in psutil.Process().threads():
        with suppress(ProcessLookupError):  # the thread has just ended
            os.sched_setaffinity(thread.id, cores)


def interleave(bursts: Mapping[str, Burst], repeats: int) -> dict[str, list[float]]:
    """Seconds per unit of every contender in every repeat, after one burn-in repeat that does not count.

    A machine's speed drifts by tens of per cent within minutes. Because the contenders take turns, the drift
    affects all of them.
    """
    for burst in bursts.values():
        burst()
    seconds: dict[str, list[float]] = {name: [] for name in bursts}
    for _ in range(repeats):
        for name, burst in bursts.items():
            seconds[name].append(burst())
    return seconds


def rows_of(
    section: str,
    what: str,
    unit: str,
    scale: float,
    seconds: Mapping[str, list[float]],
    *,
    ours: str,
    goal: Mapping[str, str] | None = None,
) -> list[Row]:
    """One row per contender: median and range over repeats in `unit` (seconds times `scale`), and its ratio to ours."""
    return [
        Row(
            section,
            what,
            name,
            unit,
            median=scale * statistics.median(taken),
            low=scale * min(taken),
            high=scale * max(taken),
            repeats=len(taken),
            times_ours=statistics.median(a / b for a, b in zip(taken, seconds[ours], strict=True)),
            goal=(goal or {}).get(name, ""),
        )
        for name, taken in seconds.items()
    ]
