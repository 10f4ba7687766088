"""Measurements made once after a search: counted n-grams, and the chosen trial's range test and parts of dev."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.corpus import Corpus
from harness.model import Build, CountedBigram
from harness.search.distances import distances_of
from harness.store.checks import checked_items, stored_weights
from harness.store.storage import Storage
from harness.store.study_record import Baseline, Chosen, DevParts, Drawn, Ngrams, RangeTest, StudyRecord
from harness.store.trial_record import TrialRecord, runs_of
from harness.store.weights import draw, restore, unpack_arrays
from harness.train import ItemNats, baselines, lr_range, seen_in_train, split_nats

DRAWN = 20
"""Number of items to draw, as in the lecture."""
_CLOSING_S = 6.0
_CLOSING_S_PER_EXAMPLE = 6e-5
_CLOSING_SHARE = 0.5


def closing_s(corpus: Corpus, total_s: float) -> float:
    """Seconds to leave for what follows the last trial: the ranking, these measurements and the report.

    Measured on two cores that other work shared: 6 s with 1,600 examples, nearly all for the plots, and 18.5 s with
    the 205,000 of `names`, with five finalists of five seeds. A quiet machine needs half of that. Never more than
    half of the time, so that a very short study trains something.
    """
    examples = corpus.number_of_examples("train") + corpus.number_of_examples("dev")
    return min(_CLOSING_S + _CLOSING_S_PER_EXAMPLE * examples, _CLOSING_SHARE * total_s)


def measured(
    storage: Storage, record: StudyRecord, trials: Sequence[TrialRecord], corpus: Corpus, build: Build
) -> StudyRecord:
    """The study's record, with the measurements that it lacked added.

    Raises:
        ModelChanged: stored weights no longer have the loss that was recorded for them.
    """
    if record.bigram is None:
        record = record.model_copy(update={"bigram": _bigram(corpus)})
    if record.drawn is None:
        record = record.model_copy(update={"drawn": _drawn(storage, record, trials, corpus, build)})
    chosen = Chosen.of(record, trials)
    if chosen is None or chosen.trial.config is None:
        return record
    number, config, runs = chosen.trial.number, chosen.trial.config, max(1, len(chosen.runs))
    if record.ngrams is None or record.ngrams.context_length != config.model.context_length:
        record = record.model_copy(update={"ngrams": Ngrams.of(baselines(corpus, config.model.context_length))})
    if record.dev_parts is None or (record.dev_parts.trial, record.dev_parts.seeds) != (number, runs):
        nats = _dev_items(storage, record, chosen, corpus, build)
        record = record.model_copy(update={"dev_parts": nats and _dev_parts(number, runs, nats, corpus)})
    record = record.model_copy(update={"distances": distances_of(storage, record, chosen, corpus, build)})
    probed, rates = _probed(record, trials, chosen.trial)
    if (record.range_test and record.range_test.trial == probed.number) or probed.config is None:
        return record
    probe = lr_range(probed.config, corpus, build=build, **rates)
    return record.model_copy(update={"range_test": RangeTest.of(probed.number, probed.config, probe)})


def _probed(
    record: StudyRecord, trials: Sequence[TrialRecord], best: TrialRecord
) -> tuple[TrialRecord, dict[str, Any]]:
    """The trial whose config gets a range test, and the rates: from an experiment that asks for one, else the best."""
    for experiment in record.first:
        if experiment.range_test is not None and (runs := runs_of(experiment, trials)):
            return runs[0], experiment.range_test._asdict()
    return best, {}


def _drawn(
    storage: Storage, record: StudyRecord, trials: Sequence[TrialRecord], corpus: Corpus, build: Build
) -> Drawn | None:
    """Items drawn from the first run of the experiment that shows samples."""
    showing = [experiment for experiment in record.first if "samples" in experiment.shows]
    kept = [run for experiment in showing for run in runs_of(experiment, trials) if run.weights_artifact]
    if not kept or kept[0].weights_artifact is None:
        return None
    model, facts = restore(storage.kept_file(kept[0].weights_artifact), build)
    train = set(corpus.train_items)
    items = draw(model, facts, DRAWN, seed=0)
    return Drawn(trial=kept[0].number, items=tuple((item, item in train) for item in items))


def _dev_items(storage: Storage, record: StudyRecord, chosen: Chosen, corpus: Corpus, build: Build) -> ItemNats | None:
    """Losses of the dev items, averaged over the winner's fresh seeds if it has any."""
    if chosen.runs and record.ranking is not None and record.ranking.items_artifact is not None:
        ranked = unpack_arrays(storage.kept_file(record.ranking.items_artifact))
        index = next(i for i, f in enumerate(record.ranking.finalists) if f.name == record.ranking.winner)
        return ItemNats(ranked["nats"][index].mean(0), ranked["symbols"])
    kept = stored_weights([chosen.trial], build)
    return checked_items(storage, kept[0], corpus) if kept else None


def _dev_parts(trial: int, seeds: int, nats: ItemNats, corpus: Corpus) -> DevParts:
    seen = seen_in_train(corpus.dev_items, corpus.train_items)
    return DevParts(
        trial=trial,
        seeds=seeds,
        seen_items=int(seen.sum()),
        unseen_items=int((~seen).sum()),
        seen_nats=nats.where(seen).mean if seen.any() else None,
        unseen_nats=nats.where(~seen).mean if not seen.all() else None,
    )


def _bigram(corpus: Corpus) -> Baseline:
    train, dev = corpus.counts("train", 1), corpus.counts("dev", 1)
    bigram = CountedBigram.of(train, corpus.vocabulary_size)
    nats = {"train_nats": split_nats(bigram, train), "dev_nats": split_nats(bigram, dev)}
    return Baseline(**nats)
