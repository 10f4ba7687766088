"""Trials that a study begins with instead of drawing them, and what somebody else reported of each."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import optuna
from pydantic import Field

from harness.config import Config
from harness.errors import ConfigError, HarnessError, first_line

_FIGURE = Field(None, pattern=r"^\d+(\.\d+)?$")


class Reported(Config):
    """Losses (nats per symbol) as somebody else gave them; text, for 2.3 and 2.30 do not say the same."""

    step: int | None = Field(None, ge=1)
    """After how many steps of the run, one of its evaluations; None for its end."""
    train: str | None = _FIGURE
    dev: str | None = _FIGURE
    source: str
    """Where it stands, to be looked up."""
    remark: str = ""
    """What is known to differ between there and here."""


class RateRange(NamedTuple):
    """The rates of a learning-rate range test, one step at each."""

    lowest: float
    highest: float
    steps: int


class Experiment(Config):
    """Parameters to try before the sampler draws any, and what of the run a road's page compares and shows."""

    title: str
    params: dict[str, Any] | None
    """For `suggest()`, as Optuna's enqueue_trial takes them: what is left out is drawn. None for the counted
    bigram, which is measured beside every search and takes no trial."""
    reported: tuple[Reported, ...] = ()
    range_test: RateRange | None = None
    """The learning-rate range test to make of its config, in place of the best trial's."""
    shows: tuple[Literal["embedding", "samples"], ...] = ()


def params_of(first: Sequence[Experiment], repeats: int) -> list[dict[str, Any]]:
    """The parameters of the trials to begin with, in their order."""
    return [experiment.params for experiment in first if experiment.params is not None] * repeats


def check_first(first: Sequence[Experiment], suggest: Callable[[optuna.Trial], object]) -> None:
    """Try the parameters of each on a throw-away study.

    Raises:
        ConfigError: `suggest` asks for none of that name, or would not draw that value.
    """
    scratch = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for experiment in first:
        if experiment.params is None:
            continue
        rule = f"first trials must fit the study's space; {experiment.title!r} has"
        scratch.enqueue_trial(experiment.params)
        trial = scratch.ask()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Optuna's own of a value out of range, which is said below
                suggest(trial)
        except HarnessError:
            raise
        except Exception as error:  # a value that no choice has, or the user's own code
            reason = first_line(error)
            raise ConfigError(f"{rule} {experiment.params}, of which suggest() says: {reason} Mend first.") from None
        for name, value in experiment.params.items():
            distribution = trial.distributions.get(name)
            if distribution is None:
                asked = ", ".join(trial.distributions) or "none"
                raise ConfigError(
                    f"{rule} {name!r}, which suggest() does not ask for; it asks for {asked}. Mend first."
                )
            if not distribution._contains(distribution.to_internal_repr(value)):
                raise ConfigError(f"{rule} {name}={value!r}, outside {distribution}. Mend first.")
