"""Training steps a second: every contender at four shapes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch

from harness.bench.contenders import Problem, Steps, compiled_loop, loader_loop, module_loop, raw_loop
from harness.bench.jax_loop import jax_loop
from harness.bench.timing import Burst, Row, interleave, rows_of
from harness.config import SGD, AdamW, Budget, Constant, ModelConfig, TrainConfig
from harness.corpus import Corpus
from harness.train import train, train_seeds

SHAPES = (
    (32, 3, 10, 200, "sgd"),
    (256, 8, 16, 256, "adamw"),
    (1024, 8, 24, 256, "adamw"),
    (1024, 10, 48, 512, "adamw"),
)
"""Batch, context length, embedding size, hidden width, optimiser; the first is the lecture's."""
OURS, STACKED = "ours", "ours, 5 seeds side by side (per seed)"
_REPLICAS = 5
_OTHERS: dict[str, Callable[[Problem], Steps]] = {
    "raw loop (the lecture's)": raw_loop,
    "nn.Module, fused optimiser": module_loop,
    "nn.Module under torch.compile": compiled_loop,
    "nn.Module fed by a DataLoader": loader_loop,
    "JAX, jitted scan": jax_loop,
}
_SECONDS_A_BURST = 0.4


def measure_steps(data: Corpus, rounds: int) -> Iterator[list[Row]]:
    """One list of rows per shape; medians in microseconds a step."""
    for *shape, optimizer in SHAPES:
        B, T, E, H = map(int, shape)
        examples = data.examples("train", T)
        problem = Problem(B, T, E, H, str(optimizer), examples.contexts, examples.targets, data.vocabulary_size)
        yield _measure(problem, data, rounds)


def _measure(problem: Problem, data: Corpus, rounds: int) -> list[Row]:
    bursts: dict[str, Burst] = {OURS: _ours(problem, data)}
    stacked = problem.batch_size == SHAPES[0][0]
    if stacked:
        bursts[STACKED] = _stacked(problem, data)
    skipped = []
    for name, make in _OTHERS.items():
        try:
            burst = _timed(make(problem))
            burst()  # what compiles does so now
        except (ImportError, RuntimeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            skipped.append(Row("steps", problem.label, name, "µs a step", note=f"skipped: {reason}"))
        else:
            bursts[name] = burst
    bursts |= _limits(problem)
    asked = {
        "raw loop (the lecture's)": "4 times ours" if stacked else "",
        "JAX, jitted scan": "no faster than ours, alone or side by side" if stacked else "",
    }
    if not stacked:
        asked[OURS] = "3 times as fast as the fastest other"
    seconds = interleave(bursts, rounds)
    return rows_of("steps", problem.label, "µs a step", 1e6, seconds, ours=OURS, asked=asked) + skipped


def _config(problem: Problem, steps: int) -> TrainConfig:
    return TrainConfig(
        model=ModelConfig(
            embedding_size=problem.embedding_size,
            hidden_width=problem.hidden_width,
            context_length=problem.context_length,
        ),
        optimizer=SGD(learning_rate=0.01) if problem.optimizer == "sgd" else AdamW(learning_rate=1e-3),
        schedule=Constant(),
        batch_size=problem.batch_size,
        budget=Budget(steps=steps),
        evaluations=1,
    )


def _ours(problem: Problem, data: Corpus) -> Burst:
    """The project's own `train`, by its own clock, which stands still during the evaluation at the end."""
    steps = _steps_a_burst(problem)
    return lambda: train(_config(problem, steps), data).seconds / steps


def _stacked(problem: Problem, data: Corpus) -> Burst:
    steps = max(1, _steps_a_burst(problem) // 2)
    return lambda: train_seeds(_config(problem, steps), data, range(_REPLICAS))[0].seconds / steps


def _timed(steps: Steps) -> Burst:
    """A burst of a length that fits the contender's speed, found in its burn-in."""
    chosen: list[int] = []

    def burst() -> float:
        if not chosen:
            steps(20)  # compiles what wants compiling
            begun = time.perf_counter()
            steps(20)
            chosen.append(max(20, round(_SECONDS_A_BURST * 20 / (time.perf_counter() - begun))))
            steps(chosen[0])
        begun = time.perf_counter()
        steps(chosen[0])
        return (time.perf_counter() - begun) / chosen[0]

    return burst


def _steps_a_burst(problem: Problem) -> int:
    return max(60, 100_000 // problem.batch_size)


def _limits(problem: Problem) -> dict[str, Burst]:
    """The time of the products alone, at the rate that one large product reaches in the same round.

    As stated: every example multiplies its concatenated context. As a table: all symbols at
    all positions are multiplied once a step, which is fewer where batches are large.
    """
    B, T, V = problem.batch_size, problem.context_length, problem.vocabulary_size
    E, H = problem.embedding_size, problem.hidden_width
    large = torch.randn(1024, 1024)

    def burst(first_layer_rows: int) -> Burst:
        operations = 3 * 2 * (first_layer_rows * T * E * H + B * H * V)  # forwards, and twice backwards

        def time_one() -> float:
            begun = time.perf_counter()
            torch.mm(large, large)
            return (time.perf_counter() - begun) * operations / (2 * 1024**3)

        return time_one

    return {"limit: products as stated": burst(B), "limit: products by table": burst(min(B, V))}
