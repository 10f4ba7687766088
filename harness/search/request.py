"""What the user asks of `make study`, laid over what the study file says."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from harness.errors import ConfigError
from harness.search.samplers import pruner_by_name, sampler_by_name
from harness.study.definition import Study

Made = TypeVar("Made")
_MOST_WORKERS = 256


@dataclass(frozen=True)
class Request:
    """What the user asked of `make study`; None where the study file or the stored study decides."""

    study: str
    name: str | None = None
    corpus: str | None = None
    trials: int | None = None
    minutes: float | None = None
    finalists: int | None = None
    seeds: int | None = None
    workers: int | None = None
    seed: int | None = None
    sampler: str | None = None
    pruner: str | None = None
    storage: str | None = None


def as_asked(study: Study, request: Request) -> Study:
    """The study file's settings, with the user's in their place; `Study` checks the values."""
    asked = replace(
        study,
        name=request.name or study.name,
        corpus=request.corpus or study.corpus,
        trials=study.trials if request.trials is None else request.trials,
        minutes=study.minutes if request.minutes is None else request.minutes,
        finalists=study.finalists if request.finalists is None else request.finalists,
        seeds=study.seeds if request.seeds is None else request.seeds,
    )
    return with_named(asked, request.sampler, request.pruner)


def with_named(study: Study, sampler: str | None, pruner: str | None) -> Study:
    """The study with a sampler and pruner by Optuna's names in place of its own, where they are given."""
    return replace(
        study,
        sampler=_working(sampler_by_name(sampler)) if sampler else study.sampler,
        pruner=_working(pruner_by_name(pruner)) if pruner else study.pruner,
    )


def _working(factory: Callable[[int], Made]) -> Callable[[int], Made]:
    factory(0)  # what cannot be made is said before anything is begun
    return factory


def checked_workers(request: Request) -> int:
    """The number of workers, once it and the seed are found to be in their ranges."""
    asked = request.workers
    if request.seed is not None and not 0 <= request.seed < 2**63:
        raise ConfigError(f"seed must be at least 0 and below 2**63; got {request.seed}. Set SEED to such a number.")
    if asked is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not 1 <= asked <= _MOST_WORKERS:
        raise ConfigError(
            f"workers must be at least 1 and at most {_MOST_WORKERS}; got {asked}. Set WORKERS to the processes to run."
        )
    return asked
