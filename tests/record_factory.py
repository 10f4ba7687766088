"""A study in the middle of its search or of its finalists' round, from made-up records: nothing is trained."""

from __future__ import annotations

import time
from typing import Any

from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial

from harness import AdamW, ModelConfig, Study, TrainConfig
from harness.cli.progress import Progress
from harness.lecture import LECTURE_FINGERPRINT
from harness.search.events import Event
from harness.search.session import Session
from harness.store.keys import finalists_key
from harness.store.storage import open_storage
from harness.store.study_record import CorpusFacts, StudyRecord
from harness.store.trial_record import TrialRecord
from harness.study.settings import Settings

KEY = "beat_lecture-names"
SHORT = "E51 H611 T6 B1024 adamw 4.2e-03 cosine"


def record_of(number: int, dev_nats: float, status: str = "complete", **more: Any) -> TrialRecord:
    config = TrainConfig(model=ModelConfig(hidden_width=100 + number), optimizer=AdamW(), seed=number)
    verdict = "well fitted" if status == "complete" else None
    facts = {"config": config, "dev_nats": dev_nats, "train_nats": dev_nats - 0.1, "verdict": verdict}
    return TrialRecord.model_validate({"number": number, "seed": number, "status": status, **facts, **more})


def made_session(workers: int = 2, trials: int = 60, **changes: Any) -> Session:
    """Twelve trials are done: nine complete, from 2.5 down to 2.02, three pruned."""
    storage = open_storage(create=True)
    corpus = CorpusFacts(
        spec="names",
        label="names",
        variant="canonical",
        fingerprint=LECTURE_FINGERPRINT,
        items={"train": 25_626, "dev": 3_203, "all": 32_033},
        examples={"train": 182_625, "dev": 22_655},
        by_default=True,
    )
    settled: dict[str, Any] = {
        "key": KEY,
        "name": "beat_lecture",
        "file": "studies/beat_lecture.py",
        "corpus": corpus,
        "space": {},
        "sampler": "TPESampler",
        "pruner": "SuccessiveHalvingPruner",
        "settings": Settings(trials=trials, finalists=3, seeds=2, seed=0),
        "created": "2026-11-22T12:00:00+00:00",
        "commit": None,
    }
    record = StudyRecord(**settled | changes)
    storage.create_study(record)
    for number in range(12):
        nats, status = round(2.5 - 0.048 * number, 4), "pruned" if number % 4 == 3 else "complete"
        params = {"hidden_width": 100 + number}
        storage.write_trial(KEY, record_of(number, nats, status, params=params))
        state = TrialState.PRUNED if status == "pruned" else TrialState.COMPLETE
        kinds = {"hidden_width": IntDistribution(50, 200)}
        handles = storage.optuna_study(KEY)
        handles.add_trial(create_trial(state=state, value=nats, params=params, distributions=kinds))
    study = Study(name="beat_lecture", suggest=lambda _: TrainConfig())
    ends_at = time.time() + 212
    return Session(
        storage=storage,
        study=study,
        record=record,
        corpus=None,  # type: ignore[arg-type]
        resumed=True,
        nothing_left=False,
        ends_at=ends_at,
        workers=workers,
        trials=storage.trials(KEY),
    )


def searching(session: Session) -> Progress:
    """Every worker is in a trial, and three trials have ended."""
    progress = Progress(session)
    for worker in range(session.workers):
        progress.on_event(Event(worker, "started", 12 + worker, text=SHORT))
        progress.on_event(Event(worker, "progress", 12 + worker, share=0.45, dev_nats=2.0312, text=SHORT))
    finished = record_of(12, 2.0101)
    progress.on_event(Event(0, "finished", 12, record=finished))
    progress.on_event(Event(0, "finished", 13, record=record_of(13, 2.3, "pruned")))
    reason = "RuntimeError: \x1b[31mno [such] luck\nand a second line that goes on for longer than any terminal is wide"
    progress.on_event(Event(0, "finished", 14, record=record_of(14, 2.3, "failed", failure=reason)))
    return progress


def confirming(session: Session) -> Progress:
    """Three of the six runs of the finalists' round are done."""
    progress = Progress(session)
    progress.on_event(Event(0, "round"))
    for number, (trial, repeat, nats) in enumerate([(10, 0, 2.03), (9, 0, 2.05), (10, 1, 2.05)]):
        run = record_of(number, nats, params={"trial": trial, "repeat": repeat})
        session.storage.write_trial(finalists_key(KEY), run)
        progress.on_event(Event(0, "started", trial, what="finalist", text=SHORT))
        progress.on_event(Event(0, "finished", trial, what="finalist", record=run))
    return progress
