"""The sealed test split: opened once a study, for a list frozen before, and written down.

This is the only module that builds test examples (a test checks it). It trains
nothing: everything it scores was stored or counted before the claim, which names
each set of weights by its SHA-256.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from harness.corpus import Corpus, load
from harness.corpus.contexts import count_contexts, examples_of
from harness.corpus.split import sealed_test_items
from harness.errors import CorpusError, StorageError, StudyError
from harness.holdout.freeze import frozen, predictors
from harness.model import Build, Predictor
from harness.search.bootstrap import Floats, Interval, resampled_means
from harness.search.trial_queue import sole_run
from harness.store.ledger import append, entries, export
from harness.store.opening import Claim, Contender, Elsewhere, Opening, Score, Scores, recorded
from harness.store.provenance import this_process
from harness.store.storage import Storage
from harness.store.study_record import StudyRecord
from harness.study.load import build_of
from harness.train import ItemNats, item_nats, seen_in_train
from harness.train.items import nats_by_item

_SAME_NATS = 1e-4
"""So far apart may a stored and a repeated dev loss be: another machine adds up in another order."""


@dataclass(frozen=True)
class _Row:
    """A row of the list with what it takes to score it."""

    contender: Contender
    models: list[Predictor]
    dev: ItemNats
    """Mean over the models."""


def open_holdout(
    storage: Storage, record: StudyRecord, *, resume: bool = False, on_claim: Callable[[Opening], None] = lambda _: None
) -> tuple[Opening, bool]:
    """Score the frozen list on the test split; True beside it if that happened now, False if it was on record.

    Args:
        resume: finish an opening that crashed between claim and scores.
        on_claim: sees the list after it is on record and before the split is opened.

    Raises:
        StudyError: the study is not done, another process is at it, an earlier opening
            crashed and `resume` was not given, or what was frozen has changed.
            Nothing is claimed, and nothing resumed, then.
        StorageError: the ledger was tampered with.
    """
    found = recorded(storage, record.key)
    if found is not None and found.scores is not None:
        with suppress(StorageError):  # the record stands whatever the file says; what a crash left out is added to it
            export(storage)
        return found, False
    _refuse_earlier(storage, record)
    corpus, build = _corpus(record), build_of(record.file, record.own_model)
    if found is None:
        with sole_run(record.key):  # the search must not go on between the freezing and the claim
            record = storage.study(record.key) or record
            claim = frozen(storage, record, corpus, build, _openings_of(storage, record))
            rows = _loaded(storage, claim, corpus, build)  # what cannot be scored must not be claimed
            entry = append(storage, record.key, "claimed", claim.model_dump(mode="json"))
    else:
        _refuse_unless_crashed(found, resume)
        rows = _loaded(storage, found.claim, corpus, build)
        owner = {"owner": this_process().model_dump(mode="json")}
        entry = append(storage, record.key, f"resumed {found.attempts}", owner)
    claimed = recorded(storage, record.key)
    if entry is None or claimed is None:
        raise StudyError(f"a test split is opened by one process; another has just claimed {record.key}. Ask again.")
    on_claim(claimed)
    scores = _scored(storage, record, rows, corpus)
    append(storage, record.key, "scored", scores.model_dump(mode="json"))
    opening = recorded(storage, record.key)
    assert opening is not None  # just written
    return opening, True


def _refuse_earlier(storage: Storage, record: StudyRecord) -> None:
    """Version 0.2.0 kept its openings in a table without a chain: they count, but cannot be shown here."""
    found = storage.earlier_openings().get(record.key)
    if found is not None:
        when = found.get("scored") or found.get("claimed")
        raise StudyError(
            f"a test split is opened once; that of {record.key} was opened {when} by an earlier version, which "
            "keeps its record. Search under a new NAME=…, and say in what you write that it was seen."
        )


def _openings_of(storage: Storage, record: StudyRecord) -> int:
    """How many other studies claimed the same test split on this storage."""
    claims = [entry.body for entry in entries(storage) if entry.step == "claimed" and entry.key != record.key]
    claims += storage.earlier_openings().values()
    return sum(claim["fingerprint"] == record.corpus.fingerprint for claim in claims)


def _corpus(record: StudyRecord) -> Corpus:
    corpus = load(record.corpus.spec)
    if corpus.fingerprint != record.corpus.fingerprint:
        raise StudyError(
            f"a holdout scores the corpus that was searched, fingerprint {record.corpus.fingerprint}; "
            f"{record.corpus.spec} now has {corpus.fingerprint}. Give the old file back."
        )
    return corpus


def _refuse_unless_crashed(found: Opening, resume: bool) -> None:
    """A claim without scores: somebody is at it, or crashed; only a crashed one may be resumed, and only if asked."""
    owner = found.owner
    if not owner.is_dead() and (owner.is_here or not resume):
        gone = "" if owner.is_here else " If that machine is gone for good, resume the same frozen list with --resume."
        raise StudyError(
            f"a test split is opened by one process; {found.key} was claimed {found.claimed} "
            f"by process {owner.pid} on {owner.host}. Wait for it.{gone}"
        )
    if not resume:
        raise StudyError(
            f"a test split is opened once; the opening of {found.key} claimed {found.claimed} ended before its scores "
            "were written. Resume that same frozen list with --resume (make holdout RESUME=1)."
        )


def _loaded(storage: Storage, claim: Claim, corpus: Corpus, build: Build) -> list[_Row]:
    """Every row's models, found to be those that were frozen: by their hashes, and by what they score on dev.

    The second finds what no hash of weights can: that the code around them has changed.
    """
    rows = []
    for contender in claim.contenders:
        models = predictors(storage, contender, corpus, build)
        items = [item_nats(model, corpus, "dev", contender.context_length) for model in models]
        row = _Row(contender, models, ItemNats(np.stack([each.nats for each in items]).mean(0), items[0].symbols))
        if not abs(row.dev.mean - contender.dev_nats) <= _SAME_NATS:
            raise StudyError(
                f"models on the frozen list must not change; the {contender.what} scored {contender.dev_nats:.4f} on "
                f"dev when it was stored and scores {row.dev.mean:.4f} now. Give the study file's old build back."
            )
        rows.append(row)
    return rows


def _scored(storage: Storage, record: StudyRecord, rows: list[_Row], corpus: Corpus) -> Scores:
    items = sealed_test_items(corpus.source.items, corpus.source.variant.rule)
    symbols = np.array([len(item) + 1 for item in items])
    scores, columns = [], {}
    for row in rows:
        length = row.contender.context_length
        test = count_contexts(examples_of(items, corpus.vocabulary, length), corpus.vocabulary_size)
        nats_SI = np.stack([nats_by_item(model, test, symbols).nats for model in row.models])
        columns[row.contender.what] = nats_SI
        scores.append(_score(row, nats_SI, symbols))
    content = save({"symbols": symbols, **columns})
    return Scores(
        test_items=len(items),
        test_examples=int(symbols.sum()),
        seen_items=int(seen_in_train(items, [*corpus.train_items, *corpus.dev_items]).sum()),
        elsewhere=_elsewhere(storage, record, items),
        scores=tuple(scores),
        items_artifact=storage.keep_file(content, "holdout-items.safetensors", storage.optuna_study(record.key)),
    )


def _score(row: _Row, nats_SI: Floats, symbols: NDArray[np.int64]) -> Score:
    runs = [ItemNats(nats, symbols) for nats in nats_SI]
    mean = ItemNats(nats_SI.mean(0), symbols)
    interval = Interval.of(resampled_means(nats_SI[None], symbols)[:, 0])
    return Score(
        what=row.contender.what,
        runs=tuple(run.mean for run in runs),
        test_nats=mean.mean,
        deviation=float(np.std([run.mean for run in runs], ddof=1)) if len(runs) > 1 else None,
        low=interval.low,
        high=interval.high,
        gap=mean.mean - row.contender.dev_nats,
        gap_error=float(np.hypot(mean.standard_error, row.dev.standard_error)),
    )


def _elsewhere(storage: Storage, record: StudyRecord, items: list[str]) -> tuple[Elsewhere, ...]:
    """Other corpora searched here, by how many of these test items they trained or chose on."""
    others = {r.corpus.fingerprint: r.corpus for r in storage.studies()}
    others.pop(record.corpus.fingerprint, None)
    found = []
    for facts in others.values():
        count: int | None = None
        try:
            other = load(facts.spec)
            if other.fingerprint == facts.fingerprint:
                count = int(seen_in_train(items, [*other.train_items, *other.dev_items]).sum())
        except CorpusError:
            pass  # a file that has gone since
        found.append(Elsewhere(corpus=facts.label, fingerprint=facts.fingerprint, items=count))
    return tuple(found)
