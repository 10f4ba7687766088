"""Learning-rate schedules as functions of the fraction of the run that is done."""

from __future__ import annotations

import math

from harness.config import Constant, Cosine, InverseTime, Linear, OneCycle, Schedule, Step


def multiplier(schedule: Schedule, progress: float) -> float:
    """The factor of the learning rate at `progress` in [0, 1) of the run.

    It depends on the fraction only, so it works for budgets in examples, steps and seconds.
    """
    match schedule:
        case Constant():
            return 1.0
        case Step(at=at, factor=factor):
            return factor if progress >= at else 1.0
        case Linear(warmup=warmup, final=final):
            return _warm(progress, warmup) or 1 + (final - 1) * _after(progress, warmup)
        case Cosine(warmup=warmup, final=final):
            return _warm(progress, warmup) or _cosine(1.0, final, _after(progress, warmup))
        case OneCycle(peak_at=peak, start_divisor=divisor):
            if progress < peak:
                return _cosine(1 / divisor, 1.0, progress / peak)
            return _cosine(1.0, 0.0, _after(progress, peak))
        case InverseTime(decay=decay):
            return 1 / (1 + decay * progress)


def _warm(progress: float, warmup: float) -> float | None:
    """The multiplier during warm-up; None after it. It is always above 0, so that every step has an effect."""
    return max(progress / warmup, 1e-3) if progress < warmup else None


def _after(progress: float, start: float) -> float:
    return (progress - start) / (1 - start)


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * progress))
