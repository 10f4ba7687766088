"""The ranking of the finalists: their fresh runs compared over seeds and items, and one winner."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from harness.corpus import Corpus
from harness.lecture import RECIPE
from harness.model import Build, CharMLP
from harness.search.finalists import Round
from harness.search.intervals import (
    SAME,
    SEED_DEVIATION,
    Floats,
    Interval,
    choose,
    difference,
    interval,
    mean_nats,
    ranks,
    resolution,
    tie_margin,
    tied_with_best,
    winner_of,
)
from harness.search.reference import fresh_seeds
from harness.search.selection_bias import REPETITIONS, selection_bias
from harness.store.checks import Losses, dev_losses, weights_of
from harness.store.finalist_record import Finalist, Ranking
from harness.store.storage import Storage
from harness.store.study_record import StudyRecord
from harness.store.trial_record import SeedRun, TrialRecord


def ranking_of(
    storage: Storage,
    record: StudyRecord,
    *,
    finalists: Round,
    trials: Sequence[TrialRecord],
    corpus: Corpus,
    build: Build,
) -> Ranking | None:
    """The ranking over the seeds that every finalist has been trained with.

    None while there are fewer than two such seeds, unless the study asks for only one.

    Args:
        trials: the trials of the search.

    Raises:
        ModelChanged: stored weights no longer have the loss that was recorded for them.
    """
    wanted, runs = finalists.wanted, finalists.done
    missing = [repeat for number, repeat in wanted if (number, repeat) not in runs]
    seeds = fresh_seeds(min(missing, default=record.seeds))
    if not wanted or len(seeds) < min(2, record.seeds):
        return None
    by_number = {trial.number: trial for trial in trials}
    entered = [
        (_from_trial(by_number[number], [runs[number, repeat] for repeat in range(len(seeds))]), build)
        for number in dict.fromkeys(trial for trial, _ in wanted)
    ]
    if finalists.recipe is not None:
        entered.append((_from_reference(finalists.recipe, len(seeds)), CharMLP.build))
    ranked, out = [pair for pair in entered if not pair[0].out], [pair[0] for pair in entered if pair[0].out]
    if not ranked:
        return Ranking(seeds=tuple(seeds), finalists=tuple(out), winner=None, resamples=0, items_artifact=None)
    scored = [
        _with_mixed(finalist, dev_losses(storage, weights_of(finalist, build), corpus)) for finalist, build in ranked
    ]
    symbols_I = scored[0][1].symbols
    nats_CSI = np.stack([losses.by(record.objective) for _, losses in scored])
    order = ranks(list(mean_nats(nats_CSI, symbols_I)))
    scored = [scored[index] for index in order]
    ranking = _compared([finalist for finalist, _ in scored], nats_CSI[order], symbols_I)
    update = {
        "seeds": tuple(seeds),
        "finalists": (*ranking.finalists, *out),
        "items_artifact": _keep_items(storage, record.key, ranking.finalists, [losses for _, losses in scored]),
        "objective": record.objective,
    }
    return ranking.model_copy(update=update)


def _keep_items(storage: Storage, key: str, finalists: Sequence[Finalist], losses: Sequence[Losses]) -> str:
    """Store the losses that the intervals rest on, by finalist, seed and item; returns the artifact's id."""
    arrays = {
        "nats": np.stack([each.own for each in losses]),
        "mixed": np.stack([each.mixed for each in losses]),
        "symbols": losses[0].symbols,
    }
    content = save(arrays, {"names": "\n".join(finalist.name for finalist in finalists)})
    return storage.keep_file(content, "finalists-items.safetensors", storage.optuna_study(key))


def _with_mixed(finalist: Finalist, losses: Losses) -> tuple[Finalist, Losses]:
    """The finalist with the intervals of its means, its own and its mixtures'."""
    mixtures = iter(losses.mixtures)  # of the runs with weights, in their order; all of them if it is ranked
    runs = tuple(run.model_copy(update={"mixed": next(mixtures)}) for run in finalist.runs)
    mixed_S = [mixed.dev_nats for mixed in losses.mixtures]
    own, mixed = (interval(nats_SI, losses.symbols, one_seed=SEED_DEVIATION) for nats_SI in (losses.own, losses.mixed))
    low, high = _bounds(own, finalist.dev_nats)
    mixed_low, mixed_high = _bounds(mixed, fmean(mixed_S))
    update = {
        "runs": runs,
        "low": low,
        "high": high,
        "mixed_nats": fmean(mixed_S),
        "mixed_deviation": stdev(mixed_S) if len(mixed_S) > 1 else None,
        "mixed_low": mixed_low,
        "mixed_high": mixed_high,
    }
    return finalist.model_copy(update=update), losses


def _from_trial(trial: TrialRecord, runs: list[TrialRecord]) -> Finalist:
    kept = [
        SeedRun(
            seed=r.seed,
            status=r.status,
            train_nats=r.train_nats,
            dev_nats=r.dev_nats,
            weights_artifact=r.weights_artifact,
            mixed=r.mixed,
        )
        for r in runs
    ]
    assert trial.parameters is not None  # a complete trial has them
    finalist = _finalist(f"trial {trial.number}", trial.number, trial.parameters, kept, trial.dev_nats)
    return finalist.model_copy(update={"search_mixed_nats": trial.mixed_nats})


def _from_reference(reference: TrialRecord, seeds: int) -> Finalist:
    assert reference.parameters is not None  # a stored reference is complete
    finalist = _finalist(RECIPE, None, reference.parameters, list(reference.seeds[:seeds]), None)
    return finalist.model_copy(update={"is_recipe": True})


def _finalist(
    name: str, trial: int | None, parameters: int, runs: list[SeedRun], search_nats: float | None
) -> Finalist:
    complete = [run for run in runs if run.status == "complete"]
    incomplete = [f"seed {run.seed} {run.status}" for run in runs if run.status != "complete"]
    train = [run.train_nats for run in complete if run.train_nats is not None]
    dev = [run.dev_nats for run in complete if run.dev_nats is not None]
    return Finalist(
        name=name,
        trial=trial,
        parameters=parameters,
        runs=tuple(runs),
        out=", ".join(incomplete),
        search_nats=search_nats,
        train_nats=fmean(train) if train else None,
        dev_nats=fmean(dev) if dev else None,
        deviation=stdev(dev) if len(dev) > 1 else None,
    )


def _compared(finalists: list[Finalist], nats_CSI: Floats, symbols_I: NDArray[np.int64]) -> Ranking:
    """The finalists with their differences and the winner. They are given in order of their means by the objective."""
    parameters, yields = [f.parameters for f in finalists], [f.is_recipe for f in finalists]
    margin = tie_margin(nats_CSI, symbols_I, yields)
    tied = tied_with_best(nats_CSI, symbols_I, margin)
    best = int(mean_nats(nats_CSI, symbols_I).argmin())
    compared = []
    for index, finalist in enumerate(finalists):
        behind = difference(nats_CSI[index], nats_CSI[best], symbols_I)
        better = {
            other.name: difference(nats_CSI[index], nats_CSI[rival], symbols_I).p_below_zero
            for rival, other in enumerate(finalists)
            if rival != index
        }
        update = {
            "behind": behind.mean,
            "behind_low": behind.mean if index == best else behind.low,
            "behind_high": behind.mean if index == best else behind.high,
            "tied": tied[index],
            "p_better": better,
        }
        compared.append(finalist.model_copy(update=update))
    chosen = choose(range(len(finalists)), tied, parameters, yields)
    bias = selection_bias(nats_CSI, symbols_I, lambda nats, symbols: winner_of(nats, symbols, parameters, yields))
    return Ranking(
        seeds=(),
        finalists=tuple(compared),
        winner=finalists[chosen].name,
        resamples=0,
        items_artifact=None,
        tie_margin=margin,
        resolution=resolution(_searched(nats_CSI, yields), symbols_I),
        selection_bias=bias,
        bias_repetitions=None if bias is None else REPETITIONS,
    )


def _bounds(own: Interval, mean: float | None) -> tuple[float, float]:
    """The interval around the mean of the recorded losses, which differs from that of the items by rounding only."""
    if mean is None or abs(mean - own.mean) > SAME:
        return own.low, own.high
    return min(own.low, mean), max(own.high, mean)


def _searched(nats_CSI: Floats, yields: list[bool]) -> Floats:
    """The contenders from the search; with the recipe if there is only one."""
    own = nats_CSI[~np.array(yields)]
    return own if len(own) > 1 else nats_CSI
