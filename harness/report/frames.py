"""Results as DataFrames: every table and plot starts from one of these. Losses are in nats per symbol."""

from __future__ import annotations

import json
import random
import warnings
from typing import Any

import optuna
import pandas as pd
from optuna.distributions import CategoricalDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, create_trial

from harness.lecture import LECTURE_DEV, RECIPE
from harness.report.parameters import columns_of_study, parameters_frame
from harness.report.results import Results
from harness.store.trial_record import Point, TrialRecord
from harness.store.weights import unpack
from harness.train import Mixed

_RESAMPLES = 30
FEW_TRIALS = 30
"""Complete trials below which importances are unreliable: PED-ANOVA compares the best tenth of them with the rest."""


def trials_frame(results: Results) -> pd.DataFrame:
    """One row per trial: outcome, losses, cost, parameters, corpus and fingerprint."""
    rows = [_row(record) | {"weights": results.weights_of([record])} for record in results.trials]
    frame = pd.DataFrame(rows, columns=None if rows else [*_row(TrialRecord(number=0, seed=0)), "weights"])
    frame = frame.join(parameters_frame(results))
    frame = frame.astype(dict.fromkeys(("parameters", "steps", "root", "segment", "mixed_order"), "Int64"))
    return frame.assign(corpus=results.study.corpus.label, fingerprint=results.study.corpus.fingerprint)


def _row(record: TrialRecord) -> dict[str, Any]:
    outcome = ("status", "verdict", "train_nats", "dev_nats", "gap", "gap_error")
    cost = (
        "parameters", "seconds", "steps", "steps_per_s", "seed", "attempt", "root", "segment", "failure",
        "pruned_because", "advice",
    )  # fmt: skip
    row = {"trial": record.number} | {name: getattr(record, name) for name in outcome} | mixed_columns(record.mixed)
    row |= {name: getattr(record, name) for name in cost}
    return row | {"config_hash": None if record.config is None else record.config.hash()}


def mixed_columns(mixed: Mixed | None) -> dict[str, Any]:
    """A run's mixture with the counted n-gram; None in every column if it was not recorded."""
    return {
        "mixed_nats": None if mixed is None else mixed.dev_nats,
        "mixed_order": None if mixed is None else mixed.order,
        "mixed_weight": None if mixed is None else mixed.weight,
        "mixed_even_nats": None if mixed is None else mixed.even_nats,
        "mixed_fitting_cost": None if mixed is None else mixed.fitting_cost,
    }


def curves_frame(results: Results) -> pd.DataFrame:
    """One row per evaluation of every trial and of the reference, whose `trial` is missing."""
    columns = ["run", "trial", "status", *Point.model_fields]
    runs: list[tuple[str, int | None, TrialRecord]] = [
        (f"trial {record.number}", record.number, record) for record in results.trials
    ]
    if results.reference is not None:
        runs.append((RECIPE, None, results.reference))
    rows = [
        {"run": run, "trial": number, "status": record.status} | point.model_dump()
        for run, number, record in runs
        for point in record.curve
    ]
    frame = pd.DataFrame(rows, columns=columns).astype({"trial": "Int64"})
    return frame.assign(fingerprint=results.study.corpus.fingerprint)


def history_frame(results: Results) -> pd.DataFrame:
    """Trials in order: `nats`, the loss that the study searches by, and the lowest of a complete trial so far."""
    frame = trials_frame(results)[["trial", "status", "dev_nats", "mixed_nats"]]
    nats = pd.Series([record.objective_nats for record in results.trials], dtype=float)
    complete = nats.where(frame["status"] == "complete")
    return frame.assign(nats=nats, best_so_far=complete.cummin().ffill())


def importance_frame(results: Results) -> pd.DataFrame:
    """Share of the variation in dev nats that each parameter explains near the optimum (PED-ANOVA).

    `low` and `high` are the 5 % and 95 % quantiles over trials resampled with replacement. Only parameters that
    every complete trial has can be compared. Empty if fewer than four trials are complete, or if no parameter is
    shared by all of them.
    """
    columns = ["parameter", "importance", "low", "high", "n"]
    trials = results.optuna_study.get_trials(deepcopy=False)
    complete = [_with_texts(trial) for trial in trials if trial.state.name == "COMPLETE"]
    shares = _importances(complete)
    if not shares:
        return pd.DataFrame(columns=columns)
    generator = random.Random(0)
    resampled = pd.DataFrame([_importances(generator.choices(complete, k=len(complete))) for _ in range(_RESAMPLES)])
    resampled = resampled.reindex(columns=list(shares)).fillna(0.0)
    ranked = sorted(shares.items(), key=lambda pair: -pair[1])
    columns_of = columns_of_study(results.study, shares)
    rows = [
        (columns_of[name], share, resampled[name].quantile(0.05), resampled[name].quantile(0.95), len(complete))
        for name, share in ranked
    ]
    return pd.DataFrame(rows, columns=columns)


def _with_texts(trial: FrozenTrial) -> FrozenTrial:
    """A complete trial with its categorical parameters as text: PED-ANOVA needs choices that can be hashed."""
    params, kinds = dict(trial.params), dict(trial.distributions)
    for name, kind in trial.distributions.items():
        if isinstance(kind, CategoricalDistribution):
            params[name], kinds[name] = repr(params[name]), CategoricalDistribution(list(map(repr, kind.choices)))
    return create_trial(value=trial.value, params=params, distributions=kinds)


def _importances(complete: list[FrozenTrial]) -> dict[str, float]:
    """Importance of each parameter; empty if it cannot be computed."""
    if len(complete) < 4 or len({trial.value for trial in complete}) < 2:
        return {}
    shared = sorted(set.intersection(*(set(trial.params) for trial in complete)))
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.add_trials(complete)
        try:
            return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(), params=shared)
        except (ValueError, RuntimeError):  # every shared parameter has a single value
            return {}


def embedding_frame(results: Results) -> pd.DataFrame:
    """The embedding of the chosen model in two dimensions, as `embedding_points` gives it."""
    return embedding_points(results.weights)


def embedding_points(weights: bytes | None) -> pd.DataFrame:
    """Each symbol's row of a stored embedding in two dimensions; empty without one.

    A 2-D embedding is taken as it is. For a larger one, these are the first two principal components, and
    `explained` is their share of the variance. PCA takes rows scaled to unit length: rare symbols keep their
    large initial rows, which would squeeze all others into one cluster.
    """
    tensors, facts = ({}, {}) if weights is None else unpack(weights)
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
    """The rows of `trials_frame` whose trial is complete and has a dev loss."""
    frame = trials_frame(results)
    return frame[(frame["status"] == "complete") & frame["dev_nats"].notna()]


def search_columns(results: Results, frame: pd.DataFrame) -> list[str]:
    """Columns of the parameters of the search space that have a value in the frame."""
    columns = columns_of_study(results.study)
    return [column for column in columns.values() if column in frame and frame[column].notna().any()]


def is_log(results: Results, column: str) -> bool:
    """Whether the parameter of a column is searched on a logarithmic scale; False for any other column."""
    names = {column: name for name, column in columns_of_study(results.study).items()}
    return column in names and bool(json.loads(results.study.space[names[column]][0])["attributes"].get("log"))


def lines_frame(results: Results) -> pd.DataFrame:
    """The losses that trials are compared with: the outcome's mixture, recipe, best counted n-gram, floor, the
    lecture's figure."""
    rows: list[tuple[str, str, float]] = []
    if results.mixed_nats is not None:
        rows.append((f"mixed with the counted {results.mixed_order}-gram", "dev", results.mixed_nats))
    reference, ngrams = results.reference, results.study.ngrams
    if reference is not None and reference.dev_nats is not None:
        rows.append((RECIPE, "dev", reference.dev_nats))
    if ngrams is not None:
        rows.append((f"counted {ngrams.best.order}-gram", "dev", ngrams.best.dev_nats))
        rows.append((f"floor, context {ngrams.context_length}", "train", ngrams.floor))
    if results.study.corpus.is_the_lectures:
        rows.append(("the lecture's figure", "dev", LECTURE_DEV))
    return pd.DataFrame(rows, columns=["line", "split", "nats"])
