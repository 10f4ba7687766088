"""Training steps from a script while another process keeps one core busy, as a running study does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from harness.bench.steps import Shape, config_of, problem_of
from harness.bench.timing import Burst, Row, interleave, rows_of
from harness.corpus import Corpus
from harness.train import train

_SHAPE: Shape = (1024, 8, 24, 256, "adamw", 0.0)
_STEPS = 50
OURS, SAME_IDLE = "one thread, the default", "one thread, no neighbour"


def measure_neighbour(corpus: Corpus, repeats: int) -> Iterator[list[Row]]:
    """One list of rows: microseconds per step of `train` with and without a busy neighbour; the cores are not fixed."""
    every = max(2, os.cpu_count() or 2)
    bursts: dict[str, Burst] = {
        OURS: lambda: _with_neighbour(corpus, threads=1),
        SAME_IDLE: lambda: _seconds_per_step(corpus, threads=1),
        f"{every} threads, torch's default here": lambda: _with_neighbour(corpus, threads=every),
        f"{every} threads, no neighbour": lambda: _seconds_per_step(corpus, threads=every),
    }
    seconds = interleave(bursts, repeats)
    what = f"steps at {problem_of(_SHAPE, corpus).label} beside a busy process"
    goal = {SAME_IDLE: "at least 0.8 times ours"}
    yield rows_of("neighbour", what, "µs per step", 1e6, seconds, ours=OURS, goal=goal)


def _seconds_per_step(corpus: Corpus, threads: int) -> float:
    config = config_of(problem_of(_SHAPE, corpus), _STEPS)
    return train(config, corpus, threads=threads).seconds / _STEPS


def _with_neighbour(corpus: Corpus, threads: int) -> float:
    with _busy_process():
        return _seconds_per_step(corpus, threads)


@contextmanager
def _busy_process() -> Iterator[None]:
    """A process that computes without end on one core while the block runs."""
    process = subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        process.stdout.readline()  # it has begun
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
