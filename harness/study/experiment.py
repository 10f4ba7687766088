"""Trials that a study runs before the sampler draws any, and the figures that others reported for them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import optuna
from pydantic import Field

from harness.config import Config
from harness.errors import ConfigError, HarnessError, first_line
from harness.study.stoppable import ScratchStudy

_FIGURE = Field(None, pattern=r"^\d+(\.\d+)?$")


class Reported(Config):
    """Losses (nats per symbol) as they were published; kept as text, because 2.3 and 2.30 differ in precision."""

    step: int | None = Field(None, ge=1)
    """Step of one of the run's evaluations; None for its end."""
    train: str | None = _FIGURE
    dev: str | None = _FIGURE
    source: str
    """Where it was published."""
    remark: str = ""
    """Known differences between that experiment and this one."""


class RateRange(NamedTuple):
    """Rates of a learning-rate range test, with one step at each."""

    lowest: float
    highest: float
    steps: int


class Experiment(Config):
    """A trial that runs before the sampler draws any, and what the page of reported figures shows about it."""

    title: str
    params: dict[str, Any] | None
    """For `suggest()`, as in Optuna's enqueue_trial: parameters that are left out are drawn. None for the counted
    bigram, which is measured with every search and needs no trial."""
    reported: tuple[Reported, ...] = ()
    range_test: RateRange | None = None
    """A learning-rate range test of its config, instead of one of the best trial's."""
    shows: tuple[Literal["embedding", "samples"], ...] = ()


def check_range_tests(first: Sequence[Experiment]) -> None:
    """Apply the rules of `harness.train.lr_range`, which would otherwise refuse a range only after the search.

    Raises:
        ConfigError: rates that do not rise, are not finite, or are fewer than two.
    """
    for experiment in first:
        test = experiment.range_test
        if test is not None and not (0 < test.lowest < test.highest < math.inf and test.steps >= 2):
            raise ConfigError(
                "a range test must have finite rates with 0 < lowest < highest and at least 2 steps; "
                f"{experiment.title!r} has lowest {test.lowest:g}, highest {test.highest:g}, {test.steps} steps. "
                "Fix `first`."
            )


def params_of(first: Sequence[Experiment], repeats: int) -> list[dict[str, Any]]:
    """Parameters of the first trials, in their order."""
    return [experiment.params for experiment in first if experiment.params is not None] * repeats


def check_first(first: Sequence[Experiment], suggest: Callable[[optuna.Trial], object]) -> None:
    """Check the parameters of the first trials on a temporary study.

    Raises:
        ConfigError: `suggest` does not ask for such a parameter, or could not draw that value.
    """
    scratch = ScratchStudy(optuna.samplers.RandomSampler(seed=0))
    for experiment in first:
        if experiment.params is None:
            continue
        rule = f"first trials must fit the study's space; {experiment.title!r} has"
        scratch.enqueue_trial(experiment.params)
        trial = scratch.ask()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Optuna's warning about a value out of range, which is reported below
                suggest(trial)
        except HarnessError:
            raise
        except optuna.TrialPruned:  # it will be a pruned trial; what it would ask for after that is not known
            continue
        except Exception as error:  # a value that is not among the choices, or the user's own code
            reason = first_line(error)
            raise ConfigError(f"{rule} {experiment.params}, on which suggest() raises: {reason} Fix `first`.") from None
        for name, value in experiment.params.items():
            distribution = trial.distributions.get(name)
            if distribution is None:
                asked = ", ".join(trial.distributions) or "none"
                raise ConfigError(
                    f"{rule} {name!r}, which suggest() does not ask for; it asks for {asked}. Fix `first`."
                )
            if not distribution._contains(distribution.to_internal_repr(value)):
                raise ConfigError(f"{rule} {name}={value!r}, outside {distribution}. Fix `first`.")
