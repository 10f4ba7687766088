"""A study's parameters as columns of frames and tables: their names, their values, and the order of their choices."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from harness.report.results import Results
from harness.store.study_record import StudyRecord
from harness.store.trial_record import TrialRecord

MEASURED = frozenset((
    "advice", "attempt", "best", "best_so_far", "config_hash", "corpus", "dev", "dev_nats", "failure",
    "fingerprint", "gap", "gap_error", "high", "low", "mixed", "mixed_even_nats", "mixed_fitting_cost", "mixed_high",
    "mixed_low", "mixed_nats", "mixed_order", "mixed_weight", "n", "note", "number", "parameters", "place",
    "pruned_because", "root", "run", "search", "seconds", "seed", "segment", "spread", "state", "status", "steps",
    "steps_per_s", "tied", "train", "train_nats", "trial", "value", "verdict", "weights",
))  # fmt: skip
"""Names of columns that stand beside those of parameters, in any frame or table, and Optuna's own for a trial."""


def column_names(parameters: Iterable[str]) -> dict[str, str]:
    """The column of each parameter: its own name, or with `_param` after it if a measured column has that name."""
    names = set(parameters)
    columns = {name: name for name in names - MEASURED}
    for name in sorted(names & MEASURED):
        column = f"{name}_param"
        while column in MEASURED or column in columns.values():
            column += "_param"
        columns[name] = column
    return columns


def columns_of_study(study: StudyRecord, drawn: Iterable[str] = ()) -> dict[str, str]:
    """The column of each parameter of a study, in the order of its space.

    Args:
        drawn: parameters that trials have; a rare one may be missing in the stored space.
    """
    parameters = list(dict.fromkeys([*study.space, *drawn]))
    names = column_names(parameters)
    return {name: names[name] for name in parameters}


def parameters_frame(results: Results) -> pd.DataFrame:
    """One row per trial, one column per parameter; missing where a trial did not draw it.

    Numbers, texts and truth values stay what they are. A parameter whose choices are of several kinds, or lists, is
    text in all its rows, None as `None`.
    """
    columns = {}
    drawn = [name for record in results.trials for name in record.params]
    for name, column in columns_of_study(results.study, drawn).items():
        choices = choices_of(results.study, name)
        texts = {} if len(_kinds(choices)) <= 1 else dict(zip(map(repr, choices), texts_of(choices), strict=True))
        columns[column] = [
            None if name not in record.params else texts.get(repr(record.params[name]), record.params[name])
            for record in results.trials
        ]
    return pd.DataFrame(columns, index=range(len(results.trials))).infer_objects()


def levels_of_study(study: StudyRecord) -> dict[str, list[str]]:
    """By column, the choices of each parameter that has no numeric scale, as text and in their order."""
    found = {}
    for name, column in columns_of_study(study).items():
        choices = choices_of(study, name)
        if _kinds(choices) - {"number"}:
            found[column] = texts_of(choices)
    return found


def choices_of(study: StudyRecord, parameter: str) -> list[Any]:
    """The choices of a categorical parameter, each once; none for a parameter with a range."""
    found: dict[str, Any] = {}
    for kind in study.space.get(parameter, []):
        # Read as JSON, because Optuna's own class warns of lists whenever it is made.
        found |= {repr(choice): choice for choice in json.loads(kind)["attributes"].get("choices", [])}
    return list(found.values())


def texts_of(choices: Sequence[Any]) -> list[str]:
    """Choices as text, and a text in quotes if it reads like another choice, as "1" and 1 do."""
    texts = list(map(str, choices))
    return [repr(choice) if texts.count(str(choice)) > 1 else str(choice) for choice in choices]


def _kinds(choices: Sequence[Any]) -> set[str]:
    kinds = {type(choice).__name__ for choice in choices}
    kinds = {"number" if kind in ("int", "float") else kind for kind in kinds}
    return kinds if kinds <= {"number", "str", "bool"} or len(kinds) > 1 else {*kinds, "shown as text"}


def drawn_parameters(study: StudyRecord, record: TrialRecord) -> dict[str, Any]:
    """The parameters of one trial by the names of their columns."""
    names = columns_of_study(study, record.params)
    return {names[name]: "None" if value is None else value for name, value in record.params.items()}
