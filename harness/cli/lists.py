"""`harness studies` and `harness corpora`: what is available."""

from __future__ import annotations

from typing import Any

from harness import paths
from harness.cli.console import console, show_json, show_table
from harness.corpus import KNOWN, VARIANTS, at_hand
from harness.corpus.overlap import in_percent
from harness.report.summary import UNIT
from harness.report.tables.studies import UNCONFIRMED
from harness.store.find import searched_studies
from harness.store.opening import recorded_if_valid
from harness.store.quiet import quiet_optuna
from harness.store.seal import split_state
from harness.store.storage import Storage, open_storage
from harness.store.study_record import StudyRecord
from harness.store.traces import KnownOpening, known_openings
from harness.store.trial_record import FINISHED, best_trial
from harness.words import plural


@quiet_optuna()
def list_studies(storage: str | None, *, as_json: bool) -> None:
    """The study files in studies/ and the stored studies."""
    opened = open_storage(storage)
    known = known_openings(opened)
    stored = [_study_facts(opened, record, known) for record in searched_studies(opened)]
    if as_json:
        show_json({"unit": UNIT, "to_begin": paths.known_studies(), "stored": stored})
        return
    console.print(f"in studies/: {', '.join(paths.known_studies()) or 'none'}")
    rows = [
        (
            facts["study"],
            f"{facts['finished']} of {facts['asked']}",
            _outcome(facts, "winner", facts["winner"], f"mean of {plural(facts['winner_seeds'], 'fresh seed')}"),
            _outcome(facts, "best", f"trial {facts['best_trial']}", _run(facts)),
            facts["exhausted"] or facts["ended_by"] or "not ended",
            f"{facts['corpus']} {facts['fingerprint']}",
            "not recorded" if facts["dev_in_train"] is None else in_percent(facts["dev_in_train"]),
            facts["test_split"],
        )
        for facts in stored
    ]
    show_table(_STUDIES_HEAD, rows)


_STUDIES_HEAD = (
    "key", "finished", "dev of the winner (nats)", "best single run (nats)", "ended by", "corpus", "dev in train",
    "test split",
)  # fmt: skip


def _outcome(facts: dict[str, Any], role: str, whose: str, what: str) -> str:
    """`1.9534, mixed 1.9221 (trial 12, one run)`."""
    nats, mixed = facts[f"{role}_dev_nats"], facts[f"{role}_mixed_nats"]
    also = "" if mixed is None else f", mixed {mixed:.4f}"
    return "-" if nats is None else f"{nats:.4f}{also} ({whose}, {what})"


def _run(facts: dict[str, Any]) -> str:
    return "one run" if facts["winner"] else UNCONFIRMED


def _study_facts(storage: Storage, record: StudyRecord, known: list[KnownOpening]) -> dict[str, Any]:
    trials, won = storage.trials(record.key), None if record.ranking is None else record.ranking.won
    best = best_trial(trials)
    return {
        "study": record.key,
        "corpus": record.corpus.label,
        "fingerprint": record.corpus.fingerprint,
        "examples": record.corpus.examples,
        "asked": record.trials,
        "finished": sum(trial.status in FINISHED for trial in trials),
        "dev_in_train": None if record.overlap is None else record.overlap.share,
        "best_dev_nats": None if best is None else best.dev_nats,
        "best_mixed_nats": None if best is None else best.mixed_nats,
        "best_trial": None if best is None else best.number,
        "winner": None if won is None else won.name,
        "winner_dev_nats": None if won is None else won.dev_nats,
        "winner_mixed_nats": None if won is None else won.mixed_nats,
        "winner_seeds": 0 if won is None else len(won.runs),
        "ended_by": record.ended_by,
        "exhausted": record.exhausted,
        "test_split": split_state(recorded_if_valid(storage, record.key), known, record),
    }


def list_corpora(*, as_json: bool) -> None:
    """The known corpora with their variants, and whether they can be read without a network."""
    rows = []
    for name, known in KNOWN.items():
        available = at_hand(name)
        for variant in VARIANTS:
            rows.append((name + variant.suffix, available, variant.about if variant.suffix else known.about))
    if as_json:
        show_json({"corpora": [dict(zip(("name", "at_hand", "about"), row, strict=True)) for row in rows]})
        return
    cells = [(name, "yes" if available else "to be downloaded", about) for name, available, about in rows]
    show_table(("corpus", "available", "contents"), cells)
    suffixes = " or ".join(variant.suffix for variant in VARIANTS if variant.suffix)
    console.print(f"or the path of any UTF-8 text with one item per line, also with {suffixes} appended")
