"""Time per training step of every contender, at five shapes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from harness.bench.contenders import Problem, Steps, compiled_loop, loader_loop, module_loop, raw_loop
from harness.bench.jax_loop import jax_loop
from harness.bench.timing import Burst, Row, interleave, rows_of
from harness.config import SGD, AdamW, Budget, Constant, ModelConfig, TrainConfig
from harness.corpus import Corpus
from harness.train import stream, train, train_seeds
from harness.train.batches import draw_batches

Shape = tuple[int, int, int, int, str, float]
SHAPES: tuple[Shape, ...] = (
    (32, 3, 10, 200, "sgd", 0.0),
    (256, 8, 16, 256, "adamw", 0.0),
    (1024, 8, 24, 256, "adamw", 0.0),
    (1024, 10, 48, 512, "adamw", 0.0),
    (1024, 8, 40, 640, "adamw", 0.25),
)
"""Batch size, context length, embedding size, hidden width, optimiser, dropout. The first shape is the lecture's."""
OURS, STACKED = "ours", "ours, 5 seeds side by side (per seed)"
WITHOUT_DROPOUT = "ours without dropout"
_REPLICAS = 5
_OTHERS: dict[str, Callable[[Problem], Steps]] = {
    "raw loop (the lecture's)": raw_loop,
    "nn.Module, fused optimiser": module_loop,
    "nn.Module under torch.compile": compiled_loop,
    "nn.Module fed by a DataLoader": loader_loop,
    "JAX, jitted scan": jax_loop,
}
_SECONDS_A_BURST = 0.4
_FIRST = 20


def measure_steps(corpus: Corpus, repeats: int) -> Iterator[list[Row]]:
    """One list of rows per shape; medians in microseconds per step."""
    for shape in SHAPES:
        yield _measure(problem_of(shape, corpus), corpus, repeats)


def problem_of(shape: Shape, corpus: Corpus) -> Problem:
    """A shape with the examples of a corpus."""
    B, T, E, H, optimizer, dropout = shape
    examples = corpus.examples("train", T)
    return Problem(B, T, E, H, optimizer, examples.contexts, examples.targets, corpus.vocabulary_size, dropout)


def _measure(problem: Problem, corpus: Corpus, repeats: int) -> list[Row]:
    bursts: dict[str, Burst] = {OURS: _ours(problem, corpus)}
    stacked = problem.batch_size == SHAPES[0][0]
    if stacked:
        bursts[STACKED] = _stacked(problem, corpus)
    if problem.dropout:
        bursts[WITHOUT_DROPOUT] = _ours(replace(problem, dropout=0.0), corpus)
    skipped = []
    for name, make in _OTHERS.items():
        try:
            burst = _theirs(make(problem))
            burst()  # compiles if necessary
        except (ImportError, RuntimeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            skipped.append(Row("steps", problem.label, name, "µs per step", note=f"skipped: {reason}"))
        else:
            bursts[name] = burst
    bursts |= _limits(problem, corpus)
    goal = {
        WITHOUT_DROPOUT: "at least 0.8 times ours",
        "raw loop (the lecture's)": "4 times ours" if stacked else "",
        "JAX, jitted scan": "no faster than ours, alone or side by side" if stacked else "",
    }
    if not stacked:
        goal[OURS] = f"{5 if problem.dropout else 3} times as fast as the fastest other"
    seconds = interleave(bursts, repeats)
    return rows_of("steps", problem.label, "µs per step", 1e6, seconds, ours=OURS, goal=goal) + skipped


def config_of(problem: Problem, steps: int) -> TrainConfig:
    """A run of these steps by our trainer."""
    return TrainConfig(
        model=ModelConfig(
            embedding_size=problem.embedding_size,
            hidden_width=problem.hidden_width,
            context_length=problem.context_length,
        ),
        optimizer=SGD(learning_rate=0.01) if problem.optimizer == "sgd" else AdamW(learning_rate=1e-3),
        schedule=Constant(),
        batch_size=problem.batch_size,
        dropout=problem.dropout,
        budget=Budget(steps=steps),
        evaluations=1,
    )


def _ours(problem: Problem, corpus: Corpus) -> Burst:
    """This project's `train`, timed by its own clock, which excludes the evaluation at the end."""
    return _burst(lambda steps: train(config_of(problem, steps), corpus).seconds)


def _stacked(problem: Problem, corpus: Corpus) -> Burst:
    """The same for several seeds trained together; the time is one seed's share."""
    return _burst(lambda steps: train_seeds(config_of(problem, steps), corpus, range(_REPLICAS))[0].seconds)


def _theirs(steps: Steps) -> Burst:
    def run(n: int) -> float:
        started = time.perf_counter()
        steps(n)
        return time.perf_counter() - started

    return _burst(run)


def _burst(run: Callable[[int], float]) -> Burst:
    """A burst that returns seconds per step. Its first call chooses a number of steps that suits the speed.

    Args:
        run: takes the given number of steps and returns their seconds.
    """
    chosen: list[int] = []

    def burst() -> float:
        if not chosen:
            run(_FIRST)  # compiles if necessary
            chosen.append(max(_FIRST, round(_SECONDS_A_BURST * _FIRST / run(_FIRST))))
            run(chosen[0])
        return run(chosen[0]) / chosen[0]

    return burst


def _limits(problem: Problem, corpus: Corpus) -> dict[str, Burst]:
    """The time of the matrix products alone, at the speed that one large product reaches in the same repeat.

    In the first limit, every example has its own products. In the second, by table, all symbols at all
    positions are multiplied once per step, and each distinct context of a batch once.
    """
    B, T, V = problem.batch_size, problem.context_length, problem.vocabulary_size
    E, H = problem.embedding_size, problem.hidden_width
    rows, _ = next(draw_batches(corpus.counts("train", T), B, [stream(0, "batches")]))
    distinct = statistics.fmean(len(batch.unique()) for batch in rows[:20])
    large = torch.randn(1024, 1024)

    def burst(first_rows: float, second_rows: float) -> Burst:
        operations = 3 * 2 * (first_rows * T * E * H + second_rows * H * V)  # one forward and two backward products

        def time_one() -> float:
            started = time.perf_counter()
            torch.mm(large, large)
            return (time.perf_counter() - started) * operations / (2 * 1024**3)

        return time_one

    limits = {"limit: products per example": burst(B, B)}
    return limits if B < V else limits | {"limit: products by table, shared contexts": burst(V, distinct)}
