"""How a study is searched: one object for the command line, the request, the study and its record."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Any, Literal

from harness.errors import ConfigError

OnResume = Literal["fixed", "remembered", "each run"]
ON_RESUME: dict[str, OnResume] = {
    "trials": "remembered",
    "minutes": "each run",
    "finalists": "remembered",
    "seeds": "remembered",
    "seed": "fixed",
    "sampler": "remembered",
    "pruner": "remembered",
    "workers": "each run",
    "corpus": "each run",
    "storage": "each run",
}
"""What a stored study does with each setting when it is resumed. `fixed`: it may not change. `remembered`: it may
change, and keeps its stored value if the user asks for none. `each run`: it is not stored. The corpus is of each run
because its path may change; what may not is its fingerprint, which `harness.search.resume` checks."""
OF_A_STUDY = ("trials", "minutes", "finalists", "seeds", "corpus")
"""The settings that a study file sets too."""

_LIMITS: dict[str, tuple[int, int | None, str]] = {
    "trials": (1, None, "Set TRIALS to the number of trials to finish."),
    "finalists": (0, 50, "Set FINALISTS to how many of the best trials to train again."),
    "seeds": (1, 50, "Set SEEDS to the number of fresh seeds of each finalist."),
    "seed": (0, 2**63 - 1, "Set SEED to a number in that range."),
    "workers": (1, 256, "Set WORKERS to the number of processes to run."),
}
_MOST_MINUTES = 525_600


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to search a study. None means not set; the study's own defaults apply to what the user does not set.

    Raises:
        ConfigError: a value outside its limits.
    """

    trials: int | None = None
    """Number of finished trials (complete, pruned or diverged) after which the search ends."""
    minutes: float | None = None
    """Wall time of one session, finalists and report included."""
    finalists: int | None = None
    """Number of best trials to train again after the search; 0 for none."""
    seeds: int | None = None
    """Number of fresh seeds for each finalist."""
    seed: int | None = None
    """Seed of the search: of its samplers and of the trials' training seeds."""
    sampler: str | None = None
    """Name of one of Optuna's samplers; None for the study's own."""
    pruner: str | None = None
    """Name of one of Optuna's pruners; None for the study's own."""
    workers: int | None = None
    """Number of processes; None for one per core."""
    corpus: str | None = None
    """A name or a path; None for the default corpus."""
    storage: str | None = None
    """A database URL or the path of an SQLite file; None for `results/studies.db`."""

    def __post_init__(self) -> None:
        for name, (least, most, way_out) in _LIMITS.items():
            value = getattr(self, name)
            if value is not None and not (least <= value and (most is None or value <= most)):
                upper = "" if most is None else " and below 2**63" if name == "seed" else f" and at most {most:,}"
                raise ConfigError(f"{name} must be at least {least}{upper}; got {value}. {way_out}")
        if self.minutes is not None and not 0 < self.minutes <= _MOST_MINUTES:
            raise ConfigError(
                f"minutes must be more than 0 and at most {_MOST_MINUTES:,} (a year); got {self.minutes:g}. "
                "Set MINUTES to the time to spend."
            )

    @property
    def number_of_workers(self) -> int:
        """The workers asked for, or one for each core that this process may use."""
        if self.workers is not None:
            return self.workers
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def merged(asked: Settings, stored: Settings | None, defaults: Settings) -> Settings:
    """The settings of a session: each as the user sets it now, else as stored, else as the study file sets it.

    A `fixed` setting that changed is not refused here: see `changed`.
    """
    chosen: dict[str, Any] = {}
    for name, rule in ON_RESUME.items():
        sources = (asked, defaults) if rule == "each run" or stored is None else (asked, stored, defaults)
        values = (getattr(source, name) for source in sources)
        chosen[name] = next((value for value in values if value is not None), None)
    return Settings(**chosen)


def changed(asked: Settings, stored: Settings) -> list[str]:
    """The `fixed` settings for which the user asks for another value than the stored one."""
    fixed = [name for name, rule in ON_RESUME.items() if rule == "fixed" and getattr(asked, name) is not None]
    return [name for name in fixed if getattr(asked, name) != getattr(stored, name)]


def to_remember(settings: Settings) -> Settings:
    """The part that a study's record keeps."""
    kept = {f.name: getattr(settings, f.name) for f in fields(settings) if ON_RESUME[f.name] != "each run"}
    return Settings(**kept)
