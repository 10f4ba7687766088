"""How far a study's outcome is from the recipe and from the best counted n-gram, with paired intervals."""

from __future__ import annotations

import math

from safetensors.numpy import save

from harness.corpus import Corpus
from harness.lecture import RECIPE
from harness.model import Build, CharMLP
from harness.search.intervals import SEED_DEVIATION, Counts, Floats, Interval, interval
from harness.store.checks import dev_losses, seed_weights, stored_weights, weights_of
from harness.store.finalist_record import Distance, Distances
from harness.store.find import stored_reference
from harness.store.storage import Storage
from harness.store.study_record import Chosen, StudyRecord
from harness.train import counted_item_nats


def distances_of(
    storage: Storage, record: StudyRecord, chosen: Chosen, corpus: Corpus, build: Build
) -> Distances | None:
    """The distances of the winner's mean or, before the finalists are ranked, of the best single run.

    None if that run's weights are not stored, and if all finalists are out.

    Raises:
        ModelChanged: stored weights no longer have the loss that was recorded for them.
    """
    won = None if record.ranking is None else record.ranking.won
    if won is None and (record.ranking is not None or chosen.weights_artifact is None):
        return None
    outcome, seeds = (f"trial {chosen.trial.number}", []) if won is None else (won.name, [run.seed for run in won.runs])
    kept = stored_weights([chosen.trial], build) if won is None else weights_of(won, build)
    reference = stored_reference(storage, record.reference)
    runs = [] if reference is None or outcome == RECIPE else [r for r in reference.seeds if r.weights_artifact]
    order = None if record.ngrams is None else record.ngrams.best.order
    others = {*([RECIPE] if runs else []), *([] if order is None else [_counted(order)])}
    stored = record.distances
    if stored is not None and (stored.outcome, stored.seeds, stored.others) == (outcome, len(seeds), others):
        return stored
    ours = dev_losses(storage, kept, corpus)
    ours_SI, symbols_I = ours.by(record.objective), ours.symbols
    items, found = {"outcome": ours_SI}, []
    if runs:
        recipe = dev_losses(storage, seed_weights(RECIPE, runs, CharMLP.build), corpus)
        items[RECIPE] = recipe.by(record.objective)
        paired = [run.seed for run in runs] == seeds
        between = _difference(ours_SI, items[RECIPE], symbols_I, paired=paired)
        found.append(_distance(RECIPE, between, items[RECIPE], symbols_I))
    if order is not None:
        items[_counted(order)] = counted_item_nats(corpus, order).nats[None]
        between = interval(ours_SI - items[_counted(order)], symbols_I, one_seed=SEED_DEVIATION)
        found.append(_distance(_counted(order), between, items[_counted(order)], symbols_I))
    content = save({"symbols": symbols_I, **items})
    artifact = storage.keep_file(content, "distances-items.safetensors", storage.optuna_study(record.key))
    return Distances(
        outcome=outcome,
        objective=record.objective,
        seeds=len(seeds),
        distances=tuple(found),
        items_artifact=artifact,
    )


def _counted(order: int) -> str:
    return f"counted {order}-gram"


def _difference(ours_SI: Floats, theirs_SI: Floats, symbols_I: Counts, *, paired: bool) -> Interval:
    """Our mean minus theirs. With other seeds only the items are paired, and the noise of the seeds adds up."""
    if paired:
        return interval(ours_SI - theirs_SI, symbols_I, one_seed=SEED_DEVIATION * math.sqrt(2))
    noise = math.hypot(*(_seed_error(nats_SI, symbols_I) for nats_SI in (ours_SI, theirs_SI)))
    return interval((ours_SI.mean(0) - theirs_SI.mean(0))[None], symbols_I, one_seed=noise)


def _seed_error(nats_SI: Floats, symbols_I: Counts) -> float:
    """Standard error of a mean over seeds that is due to the seeds."""
    S = len(nats_SI)
    return SEED_DEVIATION if S == 1 else float((nats_SI.sum(1) / symbols_I.sum()).std(ddof=1) / math.sqrt(S))


def _distance(other: str, between: Interval, nats_SI: Floats, symbols_I: Counts) -> Distance:
    nats = float(nats_SI.sum(1).mean() / symbols_I.sum())
    return Distance(other=other, other_nats=nats, nats=between.mean, low=between.low, high=between.high)
