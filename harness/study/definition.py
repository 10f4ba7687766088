"""A study as a user writes it: a name, a search space and how to search it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Literal

import optuna
from optuna.pruners import BasePruner, MedianPruner
from optuna.samplers import BaseSampler, TPESampler

from harness.config import TrainConfig
from harness.errors import ConfigError
from harness.model import Build, CharMLP
from harness.study.experiment import Experiment, check_range_tests
from harness.study.settings import OF_A_STUDY, Settings

Objective = Literal["dev", "mixed"]
"""The loss that a study searches by: the network's own on dev, or that of its mixture with the counted n-gram."""
OBJECTIVES: dict[Objective, str] = {"dev": "the network's own dev loss", "mixed": "the mixed loss"}
"""In words."""


def default_sampler(seed: int) -> BaseSampler:
    """TPE over joint groups of parameters, because a space may be conditional."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of `group`
        return TPESampler(seed=seed, multivariate=True, group=True, n_startup_trials=10)


def default_pruner(_seed: int) -> BasePruner:
    """Prunes a trial whose best dev loss so far is worse than the median at the same share of the run.

    It starts after a fifth of the run, and only once eight trials are complete. `harness prune-check`
    recommends it among the pruners that it replays on an unpruned study of `names`.
    """
    return MedianPruner(n_startup_trials=8, n_warmup_steps=20)


@dataclass(frozen=True)
class Study:
    """A search over one corpus. `suggest` is plain Optuna code that returns a whole config.

    Each trial gets its own training seed in place of the config's.

    Raises:
        ConfigError: the name or a setting breaks its rule.
    """

    name: str
    suggest: Callable[[optuna.Trial], TrainConfig]
    _: KW_ONLY
    sampler: Callable[[int], BaseSampler] = default_sampler
    """Makes a sampler from a seed. Each trial gets a new one."""
    pruner: Callable[[int], BasePruner] = default_pruner
    """Makes a pruner from a seed. It sees dev nats; its steps are per cent of the budget, 1 to 100."""
    trials: int = 60
    """Number of finished trials (complete, pruned or diverged) after which the search ends."""
    minutes: float = 9.0
    """Wall time of one session, finalists and report included. The search stops early enough for both, as estimated."""
    finalists: int = 5
    """Number of best trials to train again after the search; 0 for none."""
    seeds: int = 5
    """Number of fresh seeds for each finalist."""
    corpus: str | None = None
    """None for `names`, or `ssa-2017` if `names` is not available."""
    build: Build = CharMLP.build
    reference: bool = True
    """Whether to train the lecture's recipe if it is not stored yet. A stored one is always shown."""
    first: tuple[Experiment, ...] = ()
    """Trials to run before the sampler draws any, in this order. Such a study keeps the weights of every trial."""
    repeats: int = 1
    """How often to run `first`, each time with other training seeds."""
    about: str = ""
    """First paragraph of the page of reported figures: whose they are and where they were published."""
    objective: Objective = "dev"
    """The loss by which trials are sampled, pruned and ranked, and the winner chosen. Both losses are always shown."""

    @property
    def own_model(self) -> bool:
        """Whether `build` makes a model other than CharMLP."""
        return self.build != CharMLP.build

    @property
    def settings(self) -> Settings:
        """The study's own settings, which apply unless the user asks for others."""
        return Settings(**{name: getattr(self, name) for name in OF_A_STUDY})

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.]+(-[A-Za-z0-9_.]+)*", self.name):
            raise ConfigError(
                f"a study's name must be made of letters, digits, _ . and single -; got {self.name!r}. Give it another."
            )
        if self.repeats < 1:
            raise ConfigError(f"repeats must be at least 1; got {self.repeats}. Set it to how often to run `first`.")
        if self.objective not in OBJECTIVES:
            raise ConfigError(f"a study's objective must be dev or mixed; got {self.objective!r}. Name one of them.")
        check_range_tests(self.first)
        _ = self.settings  # checks the limits


def check_config(config: object) -> TrainConfig:
    """The config that suggest() returned.

    Raises:
        ConfigError: it is not a TrainConfig, or its budget is in seconds.
    """
    if not isinstance(config, TrainConfig):
        raise ConfigError(f"suggest must return a TrainConfig; got {type(config).__name__}. Return one.")
    if config.budget.seconds is not None:
        raise ConfigError(
            "a budget inside a study must be in examples or steps, which any machine can repeat; "
            f"got {config.budget.seconds:g} seconds. Change suggest()."
        )
    return config
