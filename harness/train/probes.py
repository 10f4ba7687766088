"""Two quick checks of a config before a search: which learning rates work, and whether it can learn at all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from harness.config import AdamW, TrainConfig
from harness.corpus import Corpus, Examples
from harness.corpus.contexts import count_contexts
from harness.errors import ConfigError
from harness.model import Build, CharMLP, fresh_model, plan_of
from harness.train.batches import take_steps
from harness.train.evaluate import Nats
from harness.train.optimizer import make_optimizer
from harness.train.seeds import stream
from harness.train.threads import one_thread

_LOWEST_RATE, _HIGHEST_RATE, _RANGE_STEPS = 1e-5, 10.0, 600
_SMOOTHING = 0.95
_WINDOW = 0.2
"""Decades of learning rate over which a fall is measured: 20 of the default 600 steps."""
_BLOWN_UP = 4.0
_OVERFIT_RATE = 0.01


@dataclass(frozen=True)
class LrRange:
    """A learning-rate range test: the rates tried, their batch losses, and the range that works."""

    rates: tuple[float, ...]
    nats: tuple[Nats, ...]
    """Train loss of each step's batch, before that step."""
    smoothed: tuple[Nats, ...]
    low: float
    """The rate where the smoothed loss falls fastest."""
    high: float
    """The rate where the smoothed loss is lowest. Higher rates make it worse."""


@one_thread()
def lr_range(
    config: TrainConfig,
    corpus: Corpus,
    *,
    build: Build = CharMLP.build,
    lowest: float = _LOWEST_RATE,
    highest: float = _HIGHEST_RATE,
    steps: int = _RANGE_STEPS,
) -> LrRange:
    """The lecture's range test: one step at each of exponentially growing rates (Smith 2017, section 3.3).

    Uses the config's model, optimiser kind, batch size and seed, and ignores its schedule, budget and
    dropout. Ends early once the smoothed loss exceeds four times its minimum.

    Args:
        lowest: the first rate; finite and above 0.
        highest: the last rate; finite and above `lowest`.
        steps: number of rates, including the first and the last; at least 2.

    Raises:
        ConfigError: the range is not valid, or the first loss is not finite.
    """
    _check_range(lowest, highest, steps)
    config = _without_dropout(config)
    model = fresh_model(build, config, corpus.vocabulary_size, stream(config.seed, "init"))
    counts = corpus.counts("train", config.model.context_length)
    plan = plan_of([model], counts.contexts, config.batch_size)
    batches, dropout = [stream(config.seed, "batches")], [stream(config.seed, "dropout")]
    losses = take_steps(plan, counts, config.batch_size, batches=batches, dropout=dropout)
    optimizer = make_optimizer(plan, config.optimizer)
    rates: list[float] = []
    nats: list[Nats] = []
    smoothed: list[Nats] = []
    average = 0.0
    for step in range(steps):
        rate = lowest * (highest / lowest) ** (step / (steps - 1))
        loss = float(next(losses))
        average = _SMOOTHING * average + (1 - _SMOOTHING) * loss
        level = average / (1 - _SMOOTHING ** (step + 1))
        if not math.isfinite(loss) or (smoothed and level > _BLOWN_UP * min(smoothed)):
            break
        rates.append(rate)
        nats.append(loss)
        smoothed.append(level)
        optimizer.step(rate)
    if not smoothed:
        raise ConfigError("a range test must begin with a finite loss; the fresh model's is not. Change its init.")
    bottom = smoothed.index(min(smoothed))
    low = _steepest(smoothed, bottom, round(_WINDOW * (steps - 1) / math.log10(highest / lowest)))
    return LrRange(tuple(rates), tuple(nats), tuple(smoothed), low=rates[low], high=rates[bottom])


def _check_range(lowest: float, highest: float, steps: int) -> None:
    if steps < 2:
        raise ConfigError(f"a range test must have at least 2 steps; got {steps}. Set steps to 2 or more.")
    if not (math.isfinite(lowest) and math.isfinite(highest) and 0 < lowest < highest):
        raise ConfigError(
            f"a range test must have finite rates with 0 < lowest < highest; got lowest {lowest}, "
            f"highest {highest}. Set lowest above 0 and highest above lowest."
        )


def _steepest(smoothed: list[Nats], bottom: int, window: int) -> int:
    """Index up to `bottom` around which the smoothed loss falls fastest, over a window of `window` steps.

    The first steps are skipped if enough others remain, because their average covers only a few batches.
    """
    window = min(window, bottom)
    first = min(round(1 / (1 - _SMOOTHING)), bottom - window)
    falls = [smoothed[i] - smoothed[i + window] for i in range(first, bottom - window + 1)]
    return first + falls.index(max(falls)) + window // 2


def _without_dropout(config: TrainConfig) -> TrainConfig:
    return config.model_copy(update={"dropout": 0.0})


@dataclass(frozen=True)
class OverfitProbe:
    """The result of training on one fixed batch."""

    floor: Nats
    """Conditional entropy of the batch's targets given its contexts. No model can score below it."""
    reached: Nats
    examples: int
    steps: int
    passed: bool


@one_thread()
def overfit_one_batch(
    config: TrainConfig,
    corpus: Corpus,
    *,
    build: Build = CharMLP.build,
    steps: int = 1000,
    tolerance: Nats = 0.01,
) -> OverfitProbe:
    """Train on one fixed batch until its loss is within `tolerance` nats of the batch's exact floor.

    A correct model with enough units passes. A model that fails has a bug in its forward or
    backward pass, or is too small for the batch. Dropout is off, and the optimiser is fixed
    (AdamW, rate 0.01), so that the result does not depend on how the config is tuned.
    """
    config = _without_dropout(config)
    model = fresh_model(build, config, corpus.vocabulary_size, stream(config.seed, "init"))
    examples = corpus.examples("train", config.model.context_length)
    chosen = torch.randint(len(examples), (config.batch_size,), generator=stream(config.seed, "batches"))
    batch = Examples(examples.contexts[chosen], examples.targets[chosen])
    floor = count_contexts(batch, corpus.vocabulary_size).conditional_entropy()
    plan = plan_of([model], batch.contexts, len(batch))
    each, targets = torch.arange(len(batch)).view(1, 1, -1), batch.targets.view(1, 1, -1)
    optimizer = make_optimizer(plan, AdamW())
    dropout = [stream(config.seed, "dropout")]
    reached, taken = math.inf, 0
    while taken < steps:
        taken += 1
        reached = float(next(iter(plan.steps(each, targets, dropout))))
        if reached - floor <= tolerance:
            break
        optimizer.step(_OVERFIT_RATE)
    return OverfitProbe(floor, reached, len(batch), taken, passed=reached - floor <= tolerance)
