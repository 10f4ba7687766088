"""Limits Optuna's log messages to errors, and drops a warning that this project answers itself."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Let Optuna log errors only, and restore its earlier verbosity on exit. Also a decorator.

    Its warning about choices that are lists is dropped: `harness.study.choices` refuses those that cannot be stored.
    """
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Choices for a categorical distribution")
            yield
    finally:
        optuna.logging.set_verbosity(before)
