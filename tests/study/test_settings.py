"""Settings: their limits, and how those of the user, the stored study and the study file are merged."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from harness.errors import ConfigError
from harness.study.settings import ON_RESUME, Settings, merged, to_remember

WRITTEN = Settings(trials=60, minutes=9.0, finalists=5, seeds=5)


def test_every_setting_has_a_rule_for_resuming():
    assert {field.name for field in fields(Settings)} == set(ON_RESUME)


def test_what_is_asked_comes_before_what_is_stored_and_that_before_the_study_file():
    stored = Settings(trials=30, seeds=3, seed=7, pruner="NopPruner")
    found = merged(Settings(trials=10, workers=4), stored, WRITTEN)
    assert found == Settings(trials=10, minutes=9.0, finalists=5, seeds=3, seed=7, pruner="NopPruner", workers=4)


def test_minutes_workers_and_storage_apply_to_one_session_only():
    stored = Settings(minutes=1.0, workers=2, storage="elsewhere.db")
    assert merged(Settings(), stored, WRITTEN).minutes == 9.0
    assert merged(Settings(), stored, WRITTEN).workers is None
    assert to_remember(stored) == Settings()


def test_zero_counts_as_a_setting():
    assert merged(Settings(finalists=0, seed=0), Settings(finalists=2, seed=0), WRITTEN).finalists == 0


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"trials": 0}, "trials must be at least 1; got 0. Set TRIALS to the number of trials to finish."),
        ({"finalists": 51}, "finalists must be at least 0 and at most 50; got 51. Set FINALISTS"),
        ({"seeds": 0}, "seeds must be at least 1 and at most 50; got 0. Set SEEDS"),
        ({"seed": -1}, "seed must be at least 0 and below 2**63; got -1. Set SEED"),
        ({"seed": 2**63}, "seed must be at least 0 and below 2**63; got 9223372036854775808. Set SEED"),
        ({"workers": 257}, "workers must be at least 1 and at most 256; got 257. Set WORKERS"),
        ({"minutes": 0}, "minutes must be more than 0 and at most 525,600 (a year); got 0. Set MINUTES"),
        ({"minutes": float("nan")}, "minutes must be more than 0 and at most 525,600 (a year); got nan. Set MINUTES"),
    ],
)
def test_a_setting_outside_its_limits_is_one_line(given: dict[str, Any], line: str):
    with pytest.raises(ConfigError) as refused:
        Settings(**given)
    assert str(refused.value).startswith(line)
