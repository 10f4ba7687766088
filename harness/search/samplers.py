"""Samplers and pruners by the names that Optuna gives them."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import cast

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from harness.errors import ConfigError, first_line, nearest
from harness.study.definition import default_pruner, default_sampler


def sampler_by_name(name: str) -> Callable[[int], BaseSampler]:
    """A factory for one of Optuna's samplers by its own name; seeded where it takes a seed."""
    if name == "TPESampler":
        return default_sampler
    kind = _optuna_class(optuna.samplers, BaseSampler, name, "sampler")
    return lambda seed: cast("BaseSampler", _made(kind, name, "sampler", seed))


def pruner_by_name(name: str) -> Callable[[int], BasePruner]:
    """A factory for one of Optuna's pruners by its own name."""
    if name == "MedianPruner":
        return default_pruner
    kind = _optuna_class(optuna.pruners, BasePruner, name, "pruner")
    return lambda seed: cast("BasePruner", _made(kind, name, "pruner", seed))


def optuna_names(module: object, base: type) -> list[str]:
    """The classes of that base which one of Optuna's modules offers."""
    return sorted(
        entry
        for entry, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base) and not inspect.isabstract(value)
    )


def _optuna_class(module: object, base: type, name: str, what: str) -> Callable[..., object]:
    known = optuna_names(module, base)
    if name not in known:
        raise ConfigError(
            f"a {what} must be one of Optuna's {', '.join(known)}; got {name!r}.{nearest(name, known)} "
            f"Set {what.upper()} to one of them."
        )
    found: Callable[..., object] = getattr(module, name)
    return found


def _made(kind: Callable[..., object], name: str, what: str, seed: int) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            try:
                return kind(seed=seed)
            except TypeError:
                return kind()
        except (TypeError, ImportError, ValueError) as error:
            raise ConfigError(
                f"a {what} named on the command line must work without arguments; {name} says: "
                f"{first_line(error)} Give it in the study file as {what}=lambda seed: …"
            ) from None
