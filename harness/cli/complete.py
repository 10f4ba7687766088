"""Shell completion. It prints nothing, writes nothing and never fails.

Study names and trial numbers need neither torch nor Optuna, so that they are completed without a noticeable wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

from harness import paths
from harness.store.stored_names import stored_trials

_Complete = Callable[[typer.Context, str], list[str]]


def _completion(words: Callable[[dict[str, Any]], list[str]]) -> _Complete:
    """Complete with words that depend on the arguments already typed; offer none where they raise an error."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            return [word for word in words(ctx.params) if word.startswith(incomplete)]
        except Exception:  # the shell has nowhere to show a reason
            return []

    return complete


def _trial_numbers(typed: dict[str, Any]) -> list[str]:
    """The trials of a study given by its key, or by its name if only one study has that name."""
    name, stored = typed["name"], stored_trials(typed.get("storage"))
    matching = [name] if name in stored else [key for key in stored if key.startswith(f"{name}-")]
    return [str(number) for number in stored[matching[0]]] if len(matching) == 1 else []


def _corpora(_: dict[str, Any]) -> list[str]:
    from harness.corpus.sources import known_specs

    return known_specs()


def _samplers(_: dict[str, Any]) -> list[str]:
    import optuna

    from harness.search.samplers import optuna_names

    return optuna_names(optuna.samplers, optuna.samplers.BaseSampler)


def _pruners(_: dict[str, Any]) -> list[str]:
    import optuna

    from harness.search.samplers import optuna_names

    return optuna_names(optuna.pruners, optuna.pruners.BasePruner)


study_files = _completion(lambda _: paths.known_studies())
stored_studies = _completion(lambda typed: list(stored_trials(typed.get("storage"))))
trial_numbers = _completion(_trial_numbers)
corpora = _completion(_corpora)
samplers = _completion(_samplers)
pruners = _completion(_pruners)
