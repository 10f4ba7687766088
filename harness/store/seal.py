"""Whether a study's test split is still sealed, judged by everything at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from harness.corpus import Corpus
from harness.errors import StorageError, StudyError
from harness.store.ledger import check_chain, exported, is_settled, lenient, settle, verify
from harness.store.opening import Opening, Scores, losses_by_item
from harness.store.storage import Storage
from harness.store.study_record import StudyRecord
from harness.store.traces import KnownOpening, known_openings, seen_before
from harness.store.upgrade import read_body
from harness.words import plural


class Seal(NamedTuple):
    """What is known about a study's test split before a search."""

    is_opened: bool
    """Whether this storage's ledger records an opening of this study."""
    lines: list[str]
    """To be shown: entries taken in, a broken ledger, and openings of the same items."""


def check_seal(storage: Storage, key: str, stored: StudyRecord | None, corpus: Corpus) -> Seal:
    """Take in what the exported ledger still has, and refuse a study whose opening is known from elsewhere.

    Args:
        stored: the study's record; None if it is new.

    Raises:
        StudyError: something other than this storage's ledger tells that this study was opened.
        StorageError: the ledger is broken or differs from its export, and one of them has an opening of this study.
    """
    lines, broken, rows = [], None, storage.openings()
    try:
        if not is_settled(storage, rows):
            if taken := settle(storage):
                lines.append(taken_in(storage, taken))
            rows = storage.openings()
        check_chain(rows)
    except StorageError as error:
        broken = error
    known, created = known_openings(storage, rows), None if stored is None else stored.created
    mine = [opening for opening in known if opening.is_of(key, created)]
    if broken is not None and mine:
        raise broken
    refuse_unrecorded(mine)
    if broken is not None:
        lines.append(f"{broken} No opening of this study is among them, so it can be searched.")
    items = [*corpus.train_items, *corpus.dev_items]
    return Seal(bool(mine), lines + seen_before(known, key, created, corpus.fingerprint, items))


def split_state(opening: Opening | None, known: Sequence[KnownOpening], study: StudyRecord) -> str:
    """The state of a study's test split in a few words.

    Args:
        opening: as the ledger records it.
        known: every opening at hand.
    """
    if opening is not None:
        return f"{opening.state} {opening.scored or opening.claimed}"
    if any(each.is_of(study.key, study.created) for each in known):
        return "opened, but in no valid ledger"
    same = [each.key or "an unknown study" for each in known if each.fingerprint == study.corpus.fingerprint]
    return f"sealed; the same split was opened for {', '.join(dict.fromkeys(same))}" if same else "sealed"


def refuse_unrecorded(openings: list[KnownOpening]) -> None:
    """Refuse a study whose opening is known, but not from this storage's own ledger.

    Raises:
        StudyError: there is one.
    """
    for opening in openings:
        if not (opening.is_recorded and opening.is_own):
            raise StudyError(
                f"a study is closed once its test split is opened; the ledger of this storage has no such entry, but "
                f"there is {opening.what}. Restore the database or its exported ledger from a backup, or start "
                "another study with NAME=…, and report that the split was seen."
            )


def problems_of(storage: Storage) -> list[str]:
    """Check the ledger, and what openings have left behind. Returns one line for each problem."""
    found = verify(storage)
    try:
        rows = storage.openings()
    except SQLAlchemyError:  # among the problems
        return found
    unrecorded = [opening for opening in known_openings(storage, rows) if not opening.is_recorded]
    found += [f"no ledger at hand has the opening of {opening.what}" for opening in unrecorded]
    for entry in lenient("\n".join(row.document for row in rows).encode(errors="replace")):
        if entry.step == "scored" and entry.body.get("items_sha256"):
            try:
                losses_by_item(storage, read_body(Scores, entry.body))
            except StorageError as error:
                found.append(f"{entry.key}: {error}")
    return found


def taken_in(storage: Storage, count: int) -> str:
    """The line about entries that were taken in again."""
    were = "was" if count == 1 else "were"
    entries = plural(count, "entry of the ledger of openings", "entries of the ledger of openings")
    return f"{entries} {were} missing in the database and taken in again from {exported(storage)}"
