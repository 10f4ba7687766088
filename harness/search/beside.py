"""What is measured once beside a search: counted n-grams, and of the best trial a range test and its parts of dev."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from harness.corpus import Corpus
from harness.model import Build, CountedBigram, Model
from harness.search.records import (
    Baseline,
    DevParts,
    Drawn,
    Ngrams,
    RangeTest,
    StudyRecord,
    TrialRecord,
    best_trial,
    runs_of,
)
from harness.search.storage import Storage
from harness.search.weights import draw, pack, restore
from harness.train import baselines, item_nats, lr_range, seen_in_train, split_nats

DRAWN = 20
"""As many as the lecture draws."""


def measured_beside(storage: Storage, record: StudyRecord, corpus: Corpus, build: Build) -> StudyRecord:
    """The study's record with what was missing of them."""
    if record.bigram is None:
        record = record.model_copy(update={"bigram": _bigram(storage, record, corpus)})
    trials = storage.trials(record.key)
    if record.drawn is None:
        with suppress(ValueError):  # as below
            record = record.model_copy(update={"drawn": _drawn(storage, record, trials, corpus, build)})
    best = best_trial(trials)
    if best is None or best.config is None:
        return record
    context_length = best.config.model.context_length
    if record.ngrams is None or record.ngrams.context_length != context_length:
        record = record.model_copy(update={"ngrams": Ngrams.of(baselines(corpus, context_length))})
    if best.weights and (record.dev_parts is None or record.dev_parts.trial != best.number):
        with suppress(ValueError):  # the study file's build makes another model by now
            model, _ = restore(storage.kept_file(best.weights), build)
            record = record.model_copy(update={"dev_parts": _dev_parts(best.number, model, corpus, context_length)})
    probed, rates = _probed(record, trials, best)
    if (record.range_test and record.range_test.trial == probed.number) or probed.config is None:
        return record
    probe = lr_range(probed.config, corpus, build=build, **rates)
    return record.model_copy(update={"range_test": RangeTest.of(probed.number, probed.config, probe)})


def _probed(record: StudyRecord, trials: list[TrialRecord], best: TrialRecord) -> tuple[TrialRecord, dict[str, Any]]:
    """The trial whose config gets a range test and the rates of it, where an experiment asks for one; else the best."""
    for experiment in record.first:
        if experiment.range_test is not None and (runs := runs_of(experiment, trials)):
            return runs[0], experiment.range_test._asdict()
    return best, {}


def _drawn(
    storage: Storage, record: StudyRecord, trials: list[TrialRecord], corpus: Corpus, build: Build
) -> Drawn | None:
    """Items from the first run of the experiment that shows some."""
    showing = [experiment for experiment in record.first if "samples" in experiment.shows]
    kept = [run for experiment in showing for run in runs_of(experiment, trials) if run.weights]
    if not kept or kept[0].weights is None:
        return None
    model, facts = restore(storage.kept_file(kept[0].weights), build)
    train = set(corpus.train_items)
    items = draw(model, facts, DRAWN, seed=0)
    return Drawn(trial=kept[0].number, items=tuple((item, item in train) for item in items))


def _dev_parts(trial: int, model: Model, corpus: Corpus, context_length: int) -> DevParts:
    nats = item_nats(model, corpus, "dev", context_length)
    seen = seen_in_train(corpus.dev_items, corpus.train_items)
    return DevParts(
        trial=trial,
        seen_items=int(seen.sum()),
        unseen_items=int((~seen).sum()),
        seen_nats=nats.where(seen).mean if seen.any() else None,
        unseen_nats=nats.where(~seen).mean if not seen.all() else None,
    )


def _bigram(storage: Storage, record: StudyRecord, corpus: Corpus) -> Baseline:
    train, dev = corpus.counts("train", 1), corpus.counts("dev", 1)
    bigram = CountedBigram.of(train, corpus.vocabulary_size)
    nats = {"train_nats": split_nats(bigram, train), "dev_nats": split_nats(bigram, dev)}
    facts = {"config": "counted bigram, add one", "fingerprint": corpus.fingerprint, **nats}
    kept = storage.keep_file(pack(bigram, facts), "bigram.safetensors", storage.optuna_study(record.key))
    return Baseline(weights=kept, **nats)
