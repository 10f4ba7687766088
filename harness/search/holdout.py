"""The sealed test split: opened once a study, for a list frozen before, and written down.

This is the only module that builds test examples (a test checks it). It trains
nothing: everything it scores was stored before the claim, and the claim names
the SHA-256 of each set of weights.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from harness.corpus import Corpus, load
from harness.corpus.contexts import count_contexts, examples_of
from harness.corpus.split import sealed_test_items
from harness.errors import StudyError
from harness.model import Build, CountedBigram, Predictor
from harness.search.environment import Owner, commit, now, this_process, versions
from harness.search.gate import sole_run
from harness.search.records import StudyRecord, best_trial
from harness.search.reference import is_settled, stored_reference
from harness.search.storage import Storage
from harness.search.study import build_of
from harness.search.weights import restore, sha256, unpack
from harness.train import split_nats


class Contender(BaseModel, frozen=True):
    """One stored set of weights on the frozen list; its test loss once scored."""

    what: Literal["winner", "lecture's recipe", "counted bigram"]
    trial: int | None
    config: dict[str, Any] | str
    weights: str
    sha256: str
    train_nats: float
    dev_nats: float
    test_nats: float | None = None


class Opening(BaseModel, frozen=True):
    """The ledger's entry: claimed first, scored after."""

    state: Literal["claimed", "scored"]
    key: str
    fingerprint: str
    claimed: str
    scored: str | None = None
    commit: str | None
    versions: dict[str, str]
    owner: Owner
    attempts: int = 1
    """Claims it took; more than one after a crash between claim and score."""
    openings_before: int
    """How many other studies had opened this same test split already."""
    test_items: int | None = None
    test_examples: int | None = None
    contenders: tuple[Contender, ...]


def recorded(storage: Storage, key: str) -> Opening | None:
    """What the ledger says of a study, if anything."""
    entry = storage.ledger().get(key)
    return None if entry is None else Opening.model_validate(entry)


def open_holdout(storage: Storage, record: StudyRecord, *, resume: bool = False) -> tuple[Opening, bool]:
    """Score the frozen list on the test split; True beside it if that happened now, False if it was on record.

    Raises:
        StudyError: the search is not done, another process is at it, or an earlier
            opening crashed between claim and score and `resume` was not given.
    """
    found = recorded(storage, record.key)
    if found is not None and found.state == "scored":
        return found, False
    if found is None:
        with sole_run(record.key):  # the search must not go on between the freezing and the claim
            claim = _frozen(storage, storage.study(record.key) or record)
            won = storage.claim(record.key, claim.model_dump(mode="json"))
        if not won:
            raise _raced(record.key)
    else:
        claim = _taken_over(storage, found, resume)
    scored = _scored(storage, record, claim)
    if not storage.replace_claim(record.key, claim.model_dump(mode="json"), scored.model_dump(mode="json")):
        raise _raced(record.key)
    return scored, True


def _raced(key: str) -> StudyError:
    return StudyError(f"a test split is opened by one process; another has just claimed {key}. Ask again.")


def _frozen(storage: Storage, record: StudyRecord) -> Opening:
    """The list of what will be scored, with the hash of each set of stored weights."""
    if record.ended_by not in ("trials", "minutes"):
        raise StudyError(
            f"the test split is opened after the search; {record.key} has not come to its end. "
            "Let make study finish it first."
        )
    if not is_settled(storage, record.reference):
        raise StudyError(
            f"the test split is opened once, so the lecture's recipe must be there to be scored beside {record.key}; "
            "it is not trained yet. Let make study finish it first."
        )
    contenders = []
    winner = best_trial(storage.trials(record.key))
    if winner is None or winner.weights is None or record.bigram is None:
        raise StudyError(f"a holdout needs a winner; {record.key} has no complete trial. Search more with make study.")
    reference = stored_reference(storage, record.reference)
    for what, trial in (("winner", winner), ("lecture's recipe", reference)):
        if trial is not None and trial.weights is not None:
            contenders.append(_contender(storage, what, trial.number, trial.weights))
    contenders.append(_contender(storage, "counted bigram", None, record.bigram.weights))
    others = [entry for entry in storage.ledger().values() if entry["fingerprint"] == record.corpus.fingerprint]
    return Opening(
        state="claimed",
        key=record.key,
        fingerprint=record.corpus.fingerprint,
        claimed=now(),
        commit=commit(),
        versions=versions(),
        owner=this_process(),
        openings_before=len(others),
        contenders=tuple(contenders),
    )


def _contender(storage: Storage, what: str, trial: int | None, weights: str) -> Contender:
    content = storage.kept_file(weights)
    _, facts = unpack(content)
    return Contender.model_validate(
        {
            "what": what,
            "trial": trial,
            "config": facts["config"],
            "weights": weights,
            "sha256": sha256(content),
            "train_nats": facts["train_nats"],
            "dev_nats": facts["dev_nats"],
        }
    )


def _taken_over(storage: Storage, found: Opening, resume: bool) -> Opening:
    """A claim without scores: somebody is at it, or crashed; only a crashed one may be resumed, and only if asked."""
    if not found.owner.is_dead():
        raise StudyError(
            f"a test split is opened by one process; {found.key} was claimed {found.claimed} "
            f"by process {found.owner.pid} on {found.owner.host}. Wait for it."
        )
    if not resume:
        raise StudyError(
            f"a test split is opened once; the opening of {found.key} claimed {found.claimed} ended before its scores "
            "were written. Resume that same frozen list with --resume (make holdout RESUME=1)."
        )
    claim = found.model_copy(update={"owner": this_process(), "attempts": found.attempts + 1})
    if not storage.replace_claim(found.key, found.model_dump(mode="json"), claim.model_dump(mode="json")):
        raise _raced(found.key)
    return claim


def _scored(storage: Storage, record: StudyRecord, claim: Opening) -> Opening:
    corpus = load(record.corpus.spec)
    if corpus.fingerprint != claim.fingerprint:
        raise StudyError(
            f"a holdout scores the corpus that was searched, fingerprint {claim.fingerprint}; "
            f"{record.corpus.spec} now has {corpus.fingerprint}. Give the old file back."
        )
    build = build_of(record.file, record.own_model)
    items = sealed_test_items(corpus.source.items, corpus.source.variant.rule)
    contenders = [_with_test_nats(storage, corpus, items, contender, build) for contender in claim.contenders]
    return claim.model_copy(
        update={
            "state": "scored",
            "scored": now(),
            "test_items": len(items),
            "test_examples": sum(len(item) + 1 for item in items),
            "contenders": tuple(contenders),
        }
    )


def _with_test_nats(
    storage: Storage, corpus: Corpus, items: list[str], contender: Contender, build: Build
) -> Contender:
    content = storage.kept_file(contender.weights)
    if sha256(content) != contender.sha256:
        raise StudyError(
            f"weights on the frozen list must not change; those of the {contender.what} no longer have SHA-256 "
            f"{contender.sha256[:12]}…. Restore results/artifacts and resume."
        )
    model: Predictor
    if contender.what == "counted bigram":
        model, context_length = CountedBigram(unpack(content)[0]["log_p"]), 1
    else:
        model, facts = restore(content, build) if contender.what == "winner" else restore(content)
        context_length = facts["config"]["model"]["context_length"]
    counts = count_contexts(examples_of(items, corpus.vocabulary, context_length), corpus.vocabulary_size)
    return contender.model_copy(update={"test_nats": split_nats(model, counts)})
