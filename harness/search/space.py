"""A search space as its `suggest` shows it: what it draws, what it fixes, and whether a sampler can search it."""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.samplers import RandomSampler

from harness.errors import ConfigError, HarnessError, TrialsFailed, first_line
from harness.search.study import Study, check_config

_SIGNATURE_DRAWS = 200


def signature(study: Study) -> dict[str, list[str]]:
    """Names and distributions of the parameters that 200 seeded random draws of `suggest` meet.

    Optuna accepts a changed range silently; comparing signatures does not.

    Raises:
        ConfigError: a draw's config breaks a rule, or has a budget in seconds.
        TrialsFailed: `suggest` raises whatever is drawn.
    """
    scratch = optuna.create_study(sampler=RandomSampler(seed=0))
    met: dict[str, set[str]] = {}
    reasons = set()
    for _ in range(_SIGNATURE_DRAWS):
        trial = scratch.ask()
        try:
            check_config(study.suggest(trial))
            reasons.add("")
        except HarnessError:
            raise
        except Exception as error:  # as a trial it would fail with this reason; others may not
            reasons.add(f"{type(error).__name__}: {error}")
        for parameter, distribution in trial.distributions.items():
            met.setdefault(parameter, set()).add(distribution_to_json(distribution))
    if "" not in reasons:
        raise TrialsFailed(
            f"suggest() of {study.name} fails whatever is drawn, with {min(reasons)!r}. Mend it in the study file."
        )
    return {parameter: sorted(met[parameter]) for parameter in sorted(met)}


def check_sampler(study: Study) -> None:
    """Let the sampler draw and learn from a few trials of a throw-away study.

    Raises:
        ConfigError: it cannot search this space, or needs a package that is not there.
    """
    scratch = optuna.create_study(sampler=study.sampler(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for value in (3.0, 2.0, 1.0):
            trial = scratch.ask()
            try:
                study.suggest(trial)
            except (ImportError, ValueError, NotImplementedError) as error:
                if _fails_now_and_then(study):
                    continue
                name, reason = type(scratch.sampler).__name__, first_line(error).rstrip(".")
                raise ConfigError(
                    f"a sampler must be able to draw from the study's space; {name} says: {reason}. Choose another."
                ) from None
            except Exception:  # suggest() itself failed; the signature has judged that
                continue
            scratch.tell(trial, value)


def _fails_now_and_then(study: Study) -> bool:
    """Whether `suggest` itself raises for some of 50 random draws: then its errors are not the sampler's."""
    scratch = optuna.create_study(sampler=RandomSampler(seed=0))
    for _ in range(50):
        try:
            study.suggest(scratch.ask())
        except Exception:
            return True
    return False


def constants_of(study: Study) -> dict[str, Any]:
    """What every config of 50 seeded random draws has alike, by dotted key: what `suggest` fixes.

    A changed budget or batch size would mix two kinds of trials in one study, and no distribution shows it.
    """
    scratch = optuna.create_study(sampler=RandomSampler(seed=0))
    found: list[dict[str, Any]] = []
    for _ in range(50):
        with suppress(Exception):  # as a trial it would fail; the signature has judged that
            found.append(_flat(study.suggest(scratch.ask()).model_dump(mode="json", exclude={"seed"})))
    alike = set.intersection(*(set(config.items()) for config in found)) if found else set()
    return dict(sorted(alike))


def _flat(nested: dict[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {before + key: value}
    return flat
