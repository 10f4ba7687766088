"""Results as DataFrames: every table and plot starts from one of these."""

from __future__ import annotations

import random
import warnings
from typing import Any

import optuna
import pandas as pd
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial

from harness.lecture import LECTURE_DEV, RECIPE
from harness.report.results import Results
from harness.store.trial_record import TrialRecord
from harness.store.weights import unpack

_RESAMPLES = 30
FEW_TRIALS = 30
"""PED-ANOVA compares the best tenth with the rest: of fewer trials that is a handful."""


def trials_frame(results: Results) -> pd.DataFrame:
    """One row per trial: outcome, losses (nats per symbol), cost, parameters, and what they belong to."""
    rows = [_row(record) for record in results.trials]
    frame = pd.DataFrame(rows, columns=None if rows else list(_row(TrialRecord(number=0, seed=0))))
    parameters = pd.DataFrame([record.params for record in results.trials], index=frame.index)
    taken = set(frame.columns)
    frame = frame.join(parameters.rename(columns=lambda name: f"{name}_param" if name in taken else name))
    frame = frame.astype(dict.fromkeys(("parameters", "steps", "root"), "Int64"))
    return frame.assign(corpus=results.study.corpus.label, fingerprint=results.study.corpus.fingerprint)


def _row(record: TrialRecord) -> dict[str, Any]:
    plain = (
        "status", "verdict", "train_nats", "dev_nats", "gap", "gap_error", "parameters", "seconds", "steps",
        "steps_per_s", "seed", "attempt", "root", "failure", "advice",
    )  # fmt: skip
    row = {"trial": record.number} | {name: getattr(record, name) for name in plain}
    return row | {"config_hash": None if record.config is None else record.config.hash()}


def curves_frame(results: Results) -> pd.DataFrame:
    """One row per evaluation of every trial and of the reference (there `trial` is empty)."""
    columns = ["run", "trial", "status", "step", "examples", "seconds", "learning_rate", "train_nats", "dev_nats"]
    runs: list[tuple[str, TrialRecord]] = [(f"trial {record.number}", record) for record in results.trials]
    if results.reference is not None:
        runs.append((RECIPE, results.reference))
    rows = [
        {"run": run, "trial": None if record is results.reference else record.number, "status": record.status}
        | point.model_dump()
        for run, record in runs
        for point in record.curve
    ]
    frame = pd.DataFrame(rows, columns=columns).astype({"trial": "Int64"})
    return frame.assign(fingerprint=results.study.corpus.fingerprint)


def history_frame(results: Results) -> pd.DataFrame:
    """Trials in order with their dev nats and the best complete one so far."""
    frame = trials_frame(results)[["trial", "status", "dev_nats"]]
    complete = frame["dev_nats"].where(frame["status"] == "complete")
    return frame.assign(best_so_far=complete.astype(float).cummin().ffill())


def importance_frame(results: Results) -> pd.DataFrame:
    """Share of the variation in dev nats that each parameter explains near the optimum (PED-ANOVA).

    `low` and `high` are the 5 % and 95 % points over trials resampled with replacement. Only
    parameters that every complete trial has can be compared. Empty where fewer than four
    trials are complete or all parameters are conditional.
    """
    columns = ["parameter", "importance", "low", "high", "n"]
    complete = [t for t in results.optuna_study.get_trials(deepcopy=False) if t.state.name == "COMPLETE"]
    shares = _importances(complete)
    if not shares:
        return pd.DataFrame(columns=columns)
    chance = random.Random(0)
    again = pd.DataFrame([_importances(chance.choices(complete, k=len(complete))) for _ in range(_RESAMPLES)])
    again = again.reindex(columns=list(shares)).fillna(0.0)
    ranked = sorted(shares.items(), key=lambda pair: -pair[1])
    rows = [
        (name, share, again[name].quantile(0.05), again[name].quantile(0.95), len(complete)) for name, share in ranked
    ]
    return pd.DataFrame(rows, columns=columns)


def _importances(complete: list[FrozenTrial]) -> dict[str, float]:
    """By parameter, nothing where they cannot be told."""
    if len(complete) < 4 or len({trial.value for trial in complete}) < 2:
        return {}
    shared = sorted(set.intersection(*(set(trial.params) for trial in complete)))
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.add_trials(complete)
        try:
            return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(), params=shared)
        except (ValueError, RuntimeError):  # every shared parameter has one value only
            return {}


def embedding_frame(results: Results) -> pd.DataFrame:
    """Symbols of the chosen model's embedding, as it is in 2-D, else on its first two principal components.

    PCA takes rows scaled to unit length: rare symbols keep the large rows they began
    with, and would push all others onto one heap.
    """
    if results.weights is None:
        return pd.DataFrame(columns=["symbol", "x", "y", "explained"])
    tensors, facts = unpack(results.weights)
    if "embedding" not in tensors:
        return pd.DataFrame(columns=["symbol", "x", "y", "explained"])
    table = tensors["embedding"].double()
    explained = 1.0
    if table.shape[1] > 2:
        table = table / table.norm(dim=1, keepdim=True)
        centred = table - table.mean(0)
        left, scale, _ = centred.svd()
        table = left[:, :2] * scale[:2]
        explained = float((scale[:2] ** 2).sum() / (scale**2).sum())
    elif table.shape[1] == 1:
        table = table.new_zeros(len(table), 2).index_copy_(1, table.new_zeros(1).long(), table)
    return pd.DataFrame(
        {"symbol": facts["vocabulary"], "x": table[:, 0].numpy(), "y": table[:, 1].numpy(), "explained": explained}
    )


def complete_frame(results: Results) -> pd.DataFrame:
    """The complete trials of `trials_frame` with a loss, in their order."""
    frame = trials_frame(results)
    return frame[(frame["status"] == "complete") & frame["dev_nats"].notna()]


def search_columns(results: Results, frame: pd.DataFrame) -> dict[str, str]:
    """Parameters of the space that vary in a frame, with the columns they stand in."""
    names = {name: f"{name}_param" if f"{name}_param" in frame else name for name in results.study.space}
    return {name: column for name, column in names.items() if column in frame and frame[column].notna().any()}


def is_log(results: Results, parameter: str) -> bool:
    """Whether a parameter is searched on a logarithmic scale."""
    return '"log": true' in results.study.space[parameter][0]


def lines_frame(results: Results) -> pd.DataFrame:
    """What every loss is held against: the recipe, counted n-grams, the floor of train, the lecture's own figure."""
    rows: list[tuple[str, str, float]] = []
    reference, ngrams = results.reference, results.study.ngrams
    if reference is not None and reference.dev_nats is not None:
        rows.append((RECIPE, "dev", reference.dev_nats))
    if ngrams is not None:
        rows.append((f"counted {ngrams.best.order}-gram", "dev", ngrams.best.dev_nats))
        rows.append((f"floor, context {ngrams.context_length}", "train", ngrams.floor))
    if results.study.corpus.is_the_lectures:
        rows.append(("the lecture's figure", "dev", LECTURE_DEV))
    return pd.DataFrame(rows, columns=["line", "split", "nats"])
