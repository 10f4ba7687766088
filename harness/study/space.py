"""A search space, found by calling `suggest`: what it draws, what it fixes, and whether a sampler can search it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, distribution_to_json
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from harness.config import TrainConfig
from harness.errors import ConfigError, HarnessError, TrialsFailed, first_line
from harness.model import check_no_extra
from harness.study.choices import check_choices
from harness.study.definition import Study, check_config
from harness.study.stoppable import ScratchStudy

_DRAWS = 200
_REPEATED = 20


@dataclass(frozen=True)
class Space:
    """What seeded random draws of `suggest` show."""

    signature: dict[str, list[str]]
    """Names and distributions of the parameters drawn. Optuna accepts a changed range silently; this detects it."""
    constants: dict[str, Any]
    """The values that all configs share, by dotted key: what `suggest` fixes. A changed budget or batch size would mix
    two kinds of trials in one study, and no distribution would show it."""
    fails: bool
    """Whether `suggest` raises for some draws, other than to prune them."""
    configs: tuple[TrainConfig | str, ...] = ()
    """The config of each draw, with seed 0; `TrialPruned` where `suggest` refused it, empty where it raised."""


def space_of(study: Study, draws: int = _DRAWS) -> Space:
    """A study's space, examined before anything starts.

    Raises:
        ConfigError: a draw's config breaks a rule, has a budget in seconds, or settings that its model does not have;
            or a choice could not be stored.
        TrialsFailed: `suggest` raises for every draw, or prunes every draw.
    """
    scratch = ScratchStudy(RandomSampler(seed=0))
    drawn: list[TrainConfig | str] = []
    met: dict[str, set[str]] = {}
    configs: list[set[tuple[str, Any]]] = []
    reasons = set()
    for _ in range(draws):
        trial = scratch.ask()
        try:
            config = check_config(study.suggest(trial)).model_copy(update={"seed": 0})
            if not study.own_model:
                check_no_extra(config.model)
            drawn.append(config)
            configs.append(set(config.by_key().items()))
        except HarnessError:
            raise
        except optuna.TrialPruned:  # its way to say that it does not want this point
            drawn.append("TrialPruned")
        except Exception as error:  # a trial with this draw would fail; others may not
            reasons.add(f"{type(error).__name__}: {error}")
            drawn.append("")
        for parameter, distribution in trial.distributions.items():
            if isinstance(distribution, CategoricalDistribution):
                check_choices(parameter, distribution.choices)
            met.setdefault(parameter, set()).add(distribution_to_json(distribution))
    if not configs and not reasons:
        raise TrialsFailed(
            f"suggest() must accept some points; that of {study.name} raises TrialPruned for each of {_DRAWS} random "
            "draws. Loosen its conditions, or narrow the ranges to where they hold."
        )
    if not configs:
        raise TrialsFailed(
            f"suggest() of {study.name} fails for every draw, with {min(reasons)!r}. Fix it in the study file."
        )
    return Space(
        signature={parameter: sorted(met[parameter]) for parameter in sorted(met)},
        constants=dict(sorted(set.intersection(*configs))),
        fails=bool(reasons),
        configs=tuple(drawn),
    )


def check_repeats(study: Study, space: Space) -> None:
    """Call `suggest` again with the first parameters that were drawn.

    Raises:
        ConfigError: it gives other configs. A trial could then not be repeated, nor one value mean one model.
    """
    again = space_of(study, draws=_REPEATED).configs
    for number, (before, after) in enumerate(zip(space.configs, again, strict=False)):
        if isinstance(before, TrainConfig) and isinstance(after, TrainConfig) and before != after:
            raise ConfigError(
                f"suggest() must give the same config for the same parameters; draw {number} gave two. "
                "Draw what is random with trial.suggest_…."
            )


def check_sampler(study: Study, space: Space) -> None:
    """Let the sampler draw and learn from a few trials of a temporary study.

    Raises:
        ConfigError: it cannot search this space, or needs a package that is not installed.
    """
    scratch = ScratchStudy(study.sampler(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for value in (3.0, 2.0, 1.0):
            if scratch.is_stopped:  # a space of one or two points
                return
            trial = scratch.ask()
            try:
                study.suggest(trial)
                scratch.tell(trial, value)
            except optuna.TrialPruned:
                scratch.tell(trial, state=TrialState.PRUNED)
            except (ImportError, ValueError, TypeError, NotImplementedError) as error:
                if space.fails:
                    continue
                name, reason = type(scratch.sampler).__name__, first_line(error).rstrip(".")
                raise ConfigError(
                    f"a sampler must be able to draw from the study's space; {name} says: {reason}. Choose another."
                ) from None
            except Exception:  # suggest() itself failed; `space_of` has checked that
                continue
