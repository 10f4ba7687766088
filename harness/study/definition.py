"""A study as a user writes it: a name, a search space, and how to search it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

import optuna
from optuna.pruners import BasePruner, MedianPruner
from optuna.samplers import BaseSampler, TPESampler

from harness.config import TrainConfig
from harness.errors import ConfigError
from harness.model import Build, CharMLP
from harness.study.experiment import Experiment

_MOST_MINUTES = 525_600
_MOST_FINALISTS = 50
_MOST_SEEDS = 50


def default_sampler(seed: int) -> BaseSampler:
    """TPE over joint groups of parameters, since a space may be conditional."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # `group` is one, for years now
        return TPESampler(seed=seed, multivariate=True, group=True, n_startup_trials=10)


def default_pruner(_seed: int) -> BasePruner:
    """Stops a trial whose best dev so far is worse than the median at the same share of its schedule.

    It looks from a fifth of the run on, and never before eight trials are complete. Of the pruners that
    `harness prune-check` replays on an unpruned study of `names`, it is the one its rule names.
    """
    return MedianPruner(n_startup_trials=8, n_warmup_steps=20)


@dataclass(frozen=True)
class Study:
    """A search over one corpus. `suggest` is plain Optuna and returns a whole config.

    The harness gives each trial its own training seed in place of the config's.
    """

    name: str
    suggest: Callable[[optuna.Trial], TrainConfig]
    _: KW_ONLY
    sampler: Callable[[int], BaseSampler] = default_sampler
    """A sampler from a seed; it is made anew for every trial."""
    pruner: Callable[[int], BasePruner] = default_pruner
    """A pruner from a seed. It sees dev nats at per cent of the budget, 1 to 100."""
    trials: int = 60
    """Finished trials (complete, pruned or diverged) that end the search."""
    minutes: float = 9.0
    """Wall time for all of it; the search ends in time for its finalists, as long as these take."""
    finalists: int = 5
    """Best trials to train again after the search; 0 to stop there."""
    seeds: int = 5
    """Fresh seeds for each finalist."""
    corpus: str | None = None
    """None for `names`, with `ssa-2017` where that cannot be had."""
    build: Build = CharMLP.build
    reference: bool = True
    """Whether to train the lecture's recipe where it is not stored yet; a stored one is shown in any case."""
    first: tuple[Experiment, ...] = ()
    """What to try before the sampler draws anything, in this order; such a study keeps the weights of every trial."""
    repeats: int = 1
    """Times to go through `first`, each time from other training seeds."""
    about: str = ""
    """What the page of what was reported begins with: whose figures they are, and where they stand."""

    @property
    def own_model(self) -> bool:
        return self.build != CharMLP.build

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.]+(-[A-Za-z0-9_.]+)*", self.name):
            raise ConfigError(f"a study's name must be letters, digits, _ . or single -; got {self.name!r}. Mend it.")
        if self.trials < 1:
            raise ConfigError(f"trials must be at least 1; got {self.trials}. Set TRIALS to what should finish.")
        if not 0 <= self.finalists <= _MOST_FINALISTS:
            raise ConfigError(
                f"finalists must be at least 0 and at most {_MOST_FINALISTS}; got {self.finalists}. "
                "Set FINALISTS to how many of the best trials are to be trained again."
            )
        if not 1 <= self.seeds <= _MOST_SEEDS:
            raise ConfigError(
                f"seeds must be at least 1 and at most {_MOST_SEEDS}; got {self.seeds}. "
                "Set SEEDS to how many fresh seeds each finalist gets."
            )
        if self.repeats < 1:
            raise ConfigError(f"repeats must be at least 1; got {self.repeats}. Set it to how often `first` is tried.")
        if not 0 < self.minutes <= _MOST_MINUTES:
            raise ConfigError(
                f"minutes must be more than 0 and at most {_MOST_MINUTES:,} (a year); got {self.minutes:g}. "
                "Set MINUTES to the time to spend."
            )


def check_config(config: object) -> TrainConfig:
    """A trial's config, checked for what a study may not do."""
    if not isinstance(config, TrainConfig):
        raise ConfigError(f"suggest must return a TrainConfig; got {type(config).__name__}. Return one.")
    if config.budget.seconds is not None:
        raise ConfigError(
            "a budget inside a study must be in examples or steps, which any machine can repeat; "
            f"got {config.budget.seconds:g} seconds. Change suggest()."
        )
    return config
