"""The overhead of a study: speed-up from a second worker, bookkeeping per trial, and start-up of a worker."""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import paths
from harness.bench.timing import Row
from harness.search.events import Event
from harness.search.request import Request
from harness.search.session import Session, run_study
from harness.study.settings import Settings

_STUDY = """
import optuna
from harness import AdamW, Budget, ModelConfig, Study, TrainConfig

def suggest(trial: optuna.Trial) -> TrainConfig:
    trial.suggest_float("unused", 0, 1)
    return TrainConfig(
        model=ModelConfig(embedding_size=24, hidden_width=256, context_length=8),
        optimizer=AdamW(learning_rate=1e-2),
        batch_size=1024,
        budget=Budget(steps={steps}),
        evaluations=10,
    )

STUDY = Study(
    "{name}",
    suggest,
    sampler=optuna.samplers.RandomSampler,
    pruner=lambda _seed: optuna.pruners.NopPruner(),
    trials={trials},
    minutes=30,
    reference=False,
)
"""
_SCALING_STEPS, _SCALING_TRIALS = 3000, 8
_BOOKKEEPING_TRIALS = 40
_TRIAL_S = 10.0
"""The trial length, in seconds, that bookkeeping is compared with."""


def measure_throughput(corpus: str) -> Iterator[list[Row]]:
    """Run real studies in a temporary project folder, in the same way as `make study`."""
    with _temporary_home() as home:
        yield _scaling(home, corpus)
        yield _bookkeeping(home)


@contextmanager
def _temporary_home() -> Iterator[Path]:
    """A temporary project folder that uses the data of the real one."""
    before = {name: os.environ.get(name) for name in ("HARNESS_HOME", "HARNESS_DATA")}
    data = before["HARNESS_DATA"] or str(paths.data_folder())
    with tempfile.TemporaryDirectory(prefix="harness-bench-") as folder:
        os.environ |= {"HARNESS_HOME": folder, "HARNESS_DATA": str(Path(data).expanduser().resolve())}
        try:
            yield Path(folder)
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


class _Watch:
    """Records when each worker's first trial started and when trials ended."""

    def __init__(self) -> None:
        self.ready = 0.0
        self.started: dict[int, float] = {}
        self.ended: list[float] = []

    def on_ready(self, _session: Session) -> None:
        self.ready = time.perf_counter()

    def on_event(self, event: Event) -> None:
        if event.kind == "started":
            self.started.setdefault(event.worker, time.perf_counter())
        elif event.kind == "finished":
            self.ended.append(time.perf_counter())

    @property
    def trials_per_hour(self) -> float:
        return 3600 * len(self.ended) / (self.ended[-1] - min(self.started.values()))


def _run(home: Path, name: str, steps: int, trials: int, workers: int, corpus: str) -> _Watch:
    file = home / f"{name}.py"
    file.write_text(_STUDY.format(name=name, steps=steps, trials=trials), encoding="utf-8")
    watch = _Watch()
    run_study(
        Request(study=str(file), settings=Settings(workers=workers, corpus=corpus)), watch.on_ready, watch.on_event
    )
    return watch


def _scaling(home: Path, corpus: str) -> list[Row]:
    rates: dict[int, list[float]] = {1: [], 2: []}
    starts: list[float] = []
    for turn in range(2):
        for workers in (1, 2):
            watch = _run(home, f"scaling_{workers}_{turn}", _SCALING_STEPS, _SCALING_TRIALS, workers, corpus)
            rates[workers].append(watch.trials_per_hour)
            starts += [started - watch.ready for started in watch.started.values()]
    one, two = (statistics.median(values) for values in rates.values())
    label = f"trials of {_SCALING_STEPS:,} steps at 1024, 8, 24, 256"
    rows = [
        Row(
            "study",
            label,
            f"{workers} worker{'s'[: workers - 1]}",
            "trials per hour",
            mean,
            min(found),
            max(found),
            len(found),
        )
        for (workers, found), mean in zip(rates.items(), (one, two), strict=True)
    ]
    rows.append(Row("study", "two workers over one", "ours", "times", two / one, goal="at least 1.8"))
    middle = sorted(starts)[len(starts) // 2]
    rows.append(
        Row(
            "study",
            "from the launch of the workers to a worker's first trial",
            "ours",
            "s",
            middle,
            min(starts),
            max(starts),
            len(starts),
            goal="under 5",
        )
    )
    return rows


def _bookkeeping(home: Path) -> list[Row]:
    """Time trials that take almost no training or scoring, so that storage and bookkeeping remain."""
    rng = random.Random(0)
    items = ["".join(rng.choices("abcde", k=5)) for _ in range(100)]
    (home / "tiny.txt").write_text("\n".join(items), encoding="utf-8")
    watch = _run(home, "bookkeeping", 10, _BOOKKEEPING_TRIALS, 1, str(home / "tiny.txt"))
    gaps = sorted(after - before for before, after in zip(watch.ended, watch.ended[1:], strict=False))
    middle, label = gaps[len(gaps) // 2], "storage and bookkeeping per trial with 10 evaluations"
    return [
        Row("study", label, "ours", "ms", 1e3 * middle, 1e3 * gaps[0], 1e3 * gaps[-1], len(gaps)),
        Row(
            "study",
            f"its share of a {_TRIAL_S:.0f}-second trial",
            "ours",
            "%",
            100 * middle / _TRIAL_S,
            goal="under 3",
        ),
    ]
