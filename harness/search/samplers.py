"""Samplers and pruners: made by Optuna's names for them, and described with their arguments."""

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

_OMITTED = ("seed", "warn_independent_sampling")
"""The seed is each trial's own, and Optuna switches the warning off itself if `group` is set."""


def sampler_by_name(name: str) -> Callable[[int], BaseSampler]:
    """A function that makes one of Optuna's samplers from a seed.

    `TPESampler` means this project's default, with its arguments.

    Raises:
        ConfigError: no such sampler, or one that needs arguments or a missing package.
    """
    if name == "TPESampler":
        return default_sampler
    return cast("Callable[[int], BaseSampler]", _by_name(optuna.samplers, BaseSampler, name, "sampler"))


def pruner_by_name(name: str) -> Callable[[int], BasePruner]:
    """A function that makes one of Optuna's pruners from a seed.

    `MedianPruner` means this project's default, with its arguments.

    Raises:
        ConfigError: no such pruner, or one that needs arguments or a missing package.
    """
    if name == "MedianPruner":
        return default_pruner
    return cast("Callable[[int], BasePruner]", _by_name(optuna.pruners, BasePruner, name, "pruner"))


def described(made: BaseSampler | BasePruner) -> str:
    """The class and the arguments that differ from Optuna's defaults: `TPESampler(multivariate=True, group=True)`.

    Optuna keeps an argument in an attribute of the same name; one that it keeps elsewhere is left out.
    """
    given = []
    for name, parameter in inspect.signature(type(made).__init__).parameters.items():
        value = getattr(made, f"_{name}", getattr(made, name, None))
        if name not in _OMITTED and isinstance(value, bool | int | float | str) and value != parameter.default:
            given.append(f"{name}={value!r}")
    return type(made).__name__ + (f"({', '.join(given)})" if given else "")


def optuna_names(module: object, base: type) -> list[str]:
    """Names of the concrete subclasses of `base` in one of Optuna's modules."""
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


def _by_name(module: object, base: type, name: str, what: str) -> Callable[[int], object]:
    kind = _optuna_class(module, base, name, what)
    _make(kind, name, what, 0)  # raises here rather than in a worker
    return lambda seed: _make(kind, name, what, seed)


def _make(kind: Callable[..., object], name: str, what: str, seed: int) -> object:
    parameters = inspect.signature(kind).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    way_out = f"Write {what}=lambda seed: … in the study file instead."
    if needed:
        raise ConfigError(
            f"a {what} named on the command line must work without arguments; {name} needs {', '.join(needed)}. "
            f"{way_out}"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            return kind(**({"seed": seed} if any(p.name == "seed" for p in parameters) else {}))
        except (TypeError, ImportError, ValueError) as error:
            raise ConfigError(
                f"a {what} named on the command line must work as it is; {name} says: {first_line(error)} {way_out}"
            ) from None
