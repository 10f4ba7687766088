"""Opens the sealed test split, once for each study, to score a list that was frozen beforehand.

This is the only module that builds test examples (a test checks this). It trains nothing:
everything that it scores was stored or counted before the claim, which identifies each set
of weights by its SHA-256.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from harness.corpus import Corpus
from harness.corpus.contexts import count_contexts, examples_of
from harness.corpus.split import sealed_test_items
from harness.errors import CorpusError, StorageError, StudyError
from harness.holdout.freeze import freeze, predictors
from harness.model import Build, Predictor
from harness.search.intervals import Floats, interval
from harness.search.trial_queue import sole_run
from harness.store.checks import SAME_NATS
from harness.store.item_hashes import ItemHashes
from harness.store.ledger import append, settle
from harness.store.opening import Claim, Contender, Earlier, Elsewhere, OpenedItems, Opening, Score, Scores, recorded
from harness.store.provenance import this_process
from harness.store.seal import refuse_unrecorded
from harness.store.storage import Storage
from harness.store.study_record import StudyRecord
from harness.store.traces import HOLDOUT_FILE, KnownOpening, known_openings
from harness.store.weights import sha256, unpack_arrays
from harness.study.load import build_of
from harness.train import ItemNats, item_nats, seen_in_train
from harness.train.items import nats_by_item


@dataclass(frozen=True)
class _Row:
    """A row of the list, with the models to score."""

    contender: Contender
    models: list[Predictor]
    dev: ItemNats
    """Mean over the models."""


def open_holdout(
    storage: Storage, record: StudyRecord, *, resume: bool = False, on_claim: Callable[[Opening], None] = lambda _: None
) -> tuple[Opening, bool]:
    """Score the frozen list on the test split, unless that was done before.

    Args:
        resume: finish an opening that crashed between claim and scores.
        on_claim: called with the claim once it is recorded, before the split is opened.

    Returns:
        The opening, and whether the split was opened now: False if the scores were recorded already.

    Raises:
        StudyError: the study is not finished, another process is opening it, an earlier opening
            crashed and `resume` was not given, what was frozen has changed, or something other than
            the ledger tells that the study was opened. Nothing is claimed or resumed in these cases.
        StorageError: the ledger was changed.
    """
    found = recorded(storage, record.key)
    if found is not None and found.scores is not None:
        with suppress(StorageError):  # the database decides, even if the file differs; this adds what either lacks
            settle(storage)
        return found, False
    settle(storage)
    known = [o for o in known_openings(storage) if not (o.is_own and o.key == record.key)]
    refuse_unrecorded([opening for opening in known if opening.is_of(record.key, record.created)])
    corpus, build = record.corpus.load(), build_of(record.file, record.own_model)
    if found is None:
        with sole_run(record.key):  # no search may run between freezing and claim
            record = storage.study(record.key) or record
            before = sum(opening.fingerprint in corpus.fingerprints for opening in known)
            claim = freeze(storage, record, corpus, build, before)
            rows = _loaded(storage, claim, corpus, build)  # a list that cannot be scored must not be claimed
            entry = append(storage, record.key, "claimed", claim.model_dump(mode="json"))
    else:
        _refuse_unless_crashed(found, resume)
        rows = _loaded(storage, found.claim, corpus, build)
        owner = {"owner": this_process().model_dump(mode="json")}
        entry = append(storage, record.key, f"resumed {found.attempts}", owner)
    claimed = recorded(storage, record.key)
    if entry is None or claimed is None:
        raise StudyError(
            f"a test split may be opened by only one process; another has just claimed {record.key}. Run this again."
        )
    on_claim(claimed)
    items = sealed_test_items(corpus.source.items, corpus.source.variant.rule)
    _record_items(storage, record, items, known)
    scores = _scored(storage, claimed, rows, corpus, items)
    append(storage, record.key, "scored", scores.model_dump(mode="json"))
    opening = recorded(storage, record.key)
    assert opening is not None  # just written
    return opening, True


def _refuse_unless_crashed(found: Opening, resume: bool) -> None:
    """Refuse a claim without scores unless its process has crashed and the user asked to resume it."""
    owner = found.owner
    if not owner.is_dead() and (owner.is_here or not resume):
        gone = "" if owner.is_here else " If that machine is gone for good, resume the same frozen list with --resume."
        raise StudyError(
            f"a test split may be opened by only one process; {found.key} was claimed {found.claimed} "
            f"by process {owner.pid} on {owner.host}. Wait for it.{gone}"
        )
    if not resume:
        raise StudyError(
            f"a test split may be opened only once; the opening of {found.key}, claimed {found.claimed}, ended "
            "before its scores were written. Resume the same frozen list with --resume (make holdout RESUME=1)."
        )


def _loaded(storage: Storage, claim: Claim, corpus: Corpus, build: Build) -> list[_Row]:
    """The models of every row, checked by their hashes and by their dev losses.

    The dev losses detect what a hash of weights cannot: a change in the code that uses the weights.
    """
    rows = []
    for contender in claim.contenders:
        models = predictors(storage, contender, corpus, build)
        items = [item_nats(model, corpus, "dev", contender.context_length) for model in models]
        row = _Row(contender, models, ItemNats(np.stack([each.nats for each in items]).mean(0), items[0].symbols))
        if not abs(row.dev.mean - contender.dev_nats) <= SAME_NATS:
            raise StudyError(
                f"models on the frozen list must not change; the {contender.what} scored {contender.dev_nats:.4f} on "
                f"dev when it was stored and scores {row.dev.mean:.4f} now. Restore the study file's old build."
            )
        rows.append(row)
    return rows


def _record_items(storage: Storage, record: StudyRecord, items: list[str], known: list[KnownOpening]) -> None:
    """Write hashes of the test items to the ledger, before anything is scored, with what opened them earlier.

    A resumed opening keeps those that it has written.
    """
    hashes = ItemHashes.of(items)
    earlier = []
    for opening in known:
        shared = _shared(storage, opening, record.corpus.fingerprint, items, hashes.distinct)
        if shared != 0:
            earlier.append(Earlier(what=opening.what, shared=shared))
    opened = OpenedItems(**hashes.model_dump(), earlier=tuple(earlier))
    append(storage, record.key, "items", opened.model_dump(mode="json"))


def _shared(storage: Storage, opening: KnownOpening, fingerprint: str, items: list[str], distinct: int) -> int | None:
    """How many of these test items an earlier opening had opened; None if that cannot be known."""
    if opening.items is not None:
        return opening.items.shared(items)
    # Versions before 0.4.0 recorded no items, but the number of symbols of each, in the order of the split.
    with suppress(StorageError, KeyError, ValueError):
        symbols = unpack_arrays(storage.kept_file(opening.items_artifact))["symbols"]
        if symbols.tolist() == [len(item) + 1 for item in items]:
            return distinct
    return distinct if opening.fingerprint == fingerprint else None


def _scored(storage: Storage, claimed: Opening, rows: list[_Row], corpus: Corpus, items: list[str]) -> Scores:
    symbols = np.array([len(item) + 1 for item in items])
    scores, columns = [], {}
    for row in rows:
        length = row.contender.context_length
        test = count_contexts(examples_of(items, corpus.vocabulary, length), corpus.vocabulary_size)
        nats_SI = np.stack([nats_by_item(model, test, symbols).nats for model in row.models])
        columns[row.contender.what] = nats_SI
        scores.append(_score(row, nats_SI, symbols))
    facts = {"study": claimed.key, "claimed": claimed.claimed, "fingerprint": claimed.claim.fingerprint}
    content = save({"symbols": symbols, **columns}, facts)
    return Scores(
        test_items=len(items),
        test_examples=int(symbols.sum()),
        seen_items=int(seen_in_train(items, [*corpus.train_items, *corpus.dev_items]).sum()),
        elsewhere=_elsewhere(storage, corpus, items),
        scores=tuple(scores),
        items_artifact=storage.keep_file(content, HOLDOUT_FILE, storage.optuna_study(claimed.key)),
        items_sha256=sha256(content),
    )


def _score(row: _Row, nats_SI: Floats, symbols: NDArray[np.int64]) -> Score:
    runs = [ItemNats(nats, symbols) for nats in nats_SI]
    mean = ItemNats(nats_SI.mean(0), symbols)
    found = interval(nats_SI, symbols)
    return Score(
        what=row.contender.what,
        runs=tuple(run.mean for run in runs),
        test_nats=mean.mean,
        deviation=float(np.std([run.mean for run in runs], ddof=1)) if len(runs) > 1 else None,
        low=found.low,
        high=found.high,
        gap=mean.mean - row.contender.dev_nats,
        gap_error=float(np.hypot(mean.standard_error, row.dev.standard_error)),
    )


def _elsewhere(storage: Storage, corpus: Corpus, items: list[str]) -> tuple[Elsewhere, ...]:
    """Other corpora searched on this storage, and how many of these test items are in their train or dev split."""
    records = [record.corpus for record in storage.studies()]
    others = {facts.fingerprint: facts for facts in records if not corpus.known_as(facts.fingerprint)}
    found = []
    for facts in others.values():
        count: int | None = None
        try:
            other = facts.load()
            count = int(seen_in_train(items, [*other.train_items, *other.dev_items]).sum())
        except (CorpusError, StudyError):
            pass  # its file is gone, or has other items now
        found.append(Elsewhere(corpus=facts.label, fingerprint=facts.fingerprint, items=count))
    return tuple(found)
