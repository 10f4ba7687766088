"""What the shell offers after Tab. It prints nothing, opens nothing for writing and never fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
import typer

from harness.corpus.sources import known_specs
from harness.search.samplers import optuna_names
from harness.store.stored_names import stored_trials
from harness.study.load import known_studies

_Complete = Callable[[typer.Context, str], list[str]]


def _never_fails(offered: Callable[[dict[str, Any]], list[str]]) -> _Complete:
    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            return [word for word in offered(ctx.params) if word.startswith(incomplete)]
        except Exception:  # a shell has no use for a reason
            return []

    return complete


study_files = _never_fails(lambda _: known_studies())
stored_studies = _never_fails(lambda given: list(stored_trials(given.get("storage"))))
trial_numbers = _never_fails(lambda given: [str(n) for n in _trials_of(given["name"], given.get("storage"))])
corpora = _never_fails(lambda _: known_specs())
samplers = _never_fails(lambda _: optuna_names(optuna.samplers, optuna.samplers.BaseSampler))
pruners = _never_fails(lambda _: optuna_names(optuna.pruners, optuna.pruners.BasePruner))


def _trials_of(name: str, storage: str | None) -> list[int]:
    """Of a study by its key, or by its name where one study begins so."""
    stored = stored_trials(storage)
    fitting = [name] if name in stored else [key for key in stored if key.startswith(f"{name}-")]
    return stored[fitting[0]] if len(fitting) == 1 else []
