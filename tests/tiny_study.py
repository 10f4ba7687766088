"""What several test files need: made-up corpora, tiny studies in a project of their own, and ways to run them."""

from __future__ import annotations

import dataclasses
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from optuna.exceptions import OptunaError
from sqlalchemy.exc import SQLAlchemyError

from harness import Budget, Experiment, RateRange, Reported, Study, lecture_recipe, paths
from harness.errors import HarnessError
from harness.search.engines.in_process import work
from harness.search.events import Job, OnEvent
from harness.search.finalists import Round, read_round
from harness.search.reference import REFERENCE
from harness.search.request import Request
from harness.search.session import Session, run_study
from harness.store.storage import Storage, open_storage
from harness.store.study_record import StudyRecord
from harness.store.trial_record import TrialRecord
from harness.study.settings import Settings

TINY = """
from optuna.pruners import NopPruner

from harness import AdamW, Budget, Constant, Cosine, ModelConfig, Study, TrainConfig

def suggest(trial):
    {first}
    return TrainConfig(
        model=ModelConfig(
            embedding_size=trial.suggest_int("embedding_size", 2, {widest}),
            hidden_width=8,
            context_length=2,
        ),
        optimizer=AdamW(learning_rate=trial.suggest_float("learning_rate", 1e-3, 1e-1, log=True)),
        schedule=Cosine() if trial.suggest_categorical("schedule", ["constant", "cosine"]) == "cosine" else Constant(),
        batch_size=32,
        budget=Budget({budget}),
        evaluations={evaluations},
    )

STUDY = Study(
    name="{name}", suggest=suggest, trials={trials}, minutes={minutes},
    finalists={finalists}, seeds={seeds}, reference={reference}, objective="{objective}",
    pruner=lambda _: NopPruner(),
)
"""


def write_items(path: Path, count: int = 300, seed: int = 1) -> Path:
    """A corpus of made-up pronounceable items."""
    draw = random.Random(seed)
    syllables = [c + v for c in "bdklmnrst" for v in "aeiou"]
    path.write_text(
        "\n".join("".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(count)), encoding="utf-8"
    )
    return path


def write_study(
    name: str = "tiny",
    *,
    trials: int = 4,
    budget: str = "steps=40",
    evaluations: int = 4,
    widest: int = 6,
    minutes: float = 2,
    finalists: int = 0,
    seeds: int = 2,
    reference: bool = False,
    objective: str = "dev",
    first: str = "pass",
) -> Path:
    """A study file in the project's studies folder; `first` is the first line of its suggest()."""
    folder = paths.studies_folder()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.py"
    path.write_text(
        TINY.format(
            name=name,
            trials=trials,
            budget=budget,
            evaluations=evaluations,
            widest=widest,
            minutes=minutes,
            finalists=finalists,
            seeds=seeds,
            reference=reference,
            objective=objective,
            first=first,
        ),
        encoding="utf-8",
    )
    return path


SLOW = """
import time
from pathlib import Path

from harness import CharMLP
from harness.train import derive

class Slow:
    def __init__(self, model):
        self.model, self.parameters, self.gradient = model, model.parameters, model.gradient
        self.tensors, self.log_probabilities, self.to = model.tensors, model.log_probabilities, model.to

    def loss_and_gradient(self, contexts, targets, *, generator):
        time.sleep(1)
        return self.model.loss_and_gradient(contexts, targets, generator=generator)

def build(config, vocabulary_size, generator):
    model = CharMLP.build(config, vocabulary_size, generator)
    is_quick = config.seed in (0, derive(0, "trial", 0)) or not Path({hold!r}).exists()
    return model if is_quick else Slow(model)
"""


def slow_while(study: Path, hold: Path) -> None:
    """Give a study file a build whose models take a second for each step if the file `hold` is there at their start.

    Trial 0 is always quick. A test can so act on trials that are certain to be running, and still finish soon.
    """
    hold.touch()
    with_build(study, SLOW.format(hold=str(hold)))


REPORTED_FILE = """
from optuna.pruners import NopPruner

from harness import AdamW, Budget, Constant, ModelConfig, Study, TrainConfig
from tests.tiny_study import experiments_of

def suggest(trial):
    return TrainConfig(
        model=ModelConfig(embedding_size=2, hidden_width=trial.suggest_int("width", 4, 16), context_length=2),
        optimizer=AdamW(learning_rate=1e-2),
        schedule=Constant(),
        batch_size=32,
        budget=Budget(steps=40),
        evaluations=4,
    )

STUDY = Study(
    name="reported", suggest=suggest, first=experiments_of({wide}), repeats={repeats}, trials=4, minutes=2, finalists=0,
    reference=False, pruner=lambda _: NopPruner(),
)
"""


def experiments_of(wide: int = 16) -> tuple[Experiment, ...]:
    """The counted bigram and two widths, with figures that are reproduced and figures that cannot be."""
    return (
        Experiment(title="counted", params=None, reported=(Reported(train="0.5", source="told", remark="made up"),)),
        Experiment(
            title="narrow",
            params={"width": 4},
            reported=(
                Reported(step=20, train="3", source="page 1"),  # 2.5 to 3.5
                Reported(dev="9.9", source="page <2>"),
            ),
            range_test=RateRange(1e-3, 1.0, 50),
            shows=("embedding",),
        ),
        Experiment(title="wide", params={"width": wide}, shows=("samples",)),
    )


EXPERIMENTS = experiments_of()


def write_reported_study(wide: int = 16, repeats: int = 2) -> Path:
    """A study file with those experiments."""
    folder = paths.studies_folder()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "reported.py"
    path.write_text(REPORTED_FILE.format(wide=wide, repeats=repeats), encoding="utf-8")
    return path


def with_build(path: Path, build: str) -> None:
    """Give a study file a `build` of its own."""
    text = path.read_text(encoding="utf-8").replace("STUDY =", f"{build}\n\nSTUDY =")
    path.write_text(text.replace("suggest=suggest,", "suggest=suggest, build=build,"), encoding="utf-8")


def brief_reference() -> Study:
    """The lecture's recipe in milliseconds instead of a minute."""
    recipe = lecture_recipe()
    model = recipe.model.model_copy(update={"init": "scaled"})
    recipe = recipe.model_copy(update={"model": model, "budget": Budget(steps=30), "evaluations": 2})
    return dataclasses.replace(REFERENCE, suggest=lambda _: recipe)


def work_here(job: Job, _count: int, storage: Storage, on_event: OnEvent) -> None:
    """An engine in this process: each worker process would take two seconds to load torch."""
    work(None, job, storage, on_event)


def round_of(storage: Storage, record: StudyRecord) -> Round:
    """The finalists' round of a search as it is stored."""
    return read_round(storage, record, storage.trials(record.key))


@contextmanager
def home_at(folder: Path) -> Iterator[pytest.MonkeyPatch]:
    """The project folder inside this block. Yields what undoes its patches at the end."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HARNESS_HOME", str(folder))
        yield patched


@contextmanager
def workers(run_workers: Any = work_here) -> Iterator[None]:
    """Searches inside this block run their jobs with `run_workers`."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("harness.search.session.run_workers", run_workers)
        yield


@contextmanager
def no_plots() -> Iterator[None]:
    """Reports inside this block have no plots: drawing all of them takes three seconds."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("harness.report.write.PLOTS", ())
        yield


def search(corpus: Path | str, study: str = "tiny", run_workers: Any = work_here, **asked: Any) -> Session:
    """`make study` without worker processes and without its report."""
    with workers(run_workers):
        name, settings = asked.pop("name", None), Settings(corpus=str(corpus), **asked)
        return run_study(Request(study=study, name=name, settings=settings), lambda _: None, lambda _: None)


def begin_in_background(*arguments: str) -> subprocess.Popen[str]:
    """`harness study tiny` in a process of its own, with real worker processes; its report has no plots.

    It takes Ctrl-C even if these tests do not: a shell that runs them with `&` makes all of them ignore it.
    """
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from harness.report import write; write.PLOTS = (); from harness.cli.app import main; main()"
    )
    command = [sys.executable, "-c", program, "study", "tiny", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", env=os.environ)


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Look every 50 ms until the condition holds; a test fails if that takes longer than `seconds`."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "what was waited for did not come"
        time.sleep(0.05)


def stored_trials(key: str) -> list[TrialRecord]:
    """The trials in this project's storage; none while another process is still creating it."""
    try:
        return open_storage().trials(key)
    except (HarnessError, SQLAlchemyError, OptunaError):
        return []
