"""The effect of the advice: follow it once, and compare with one random change of the same trial and seed.

The trials are drawn from a search's space, from around the lecture's configs, and from deliberately bad
configs. The constants and moves of the advice were chosen on trials with other seeds. The trials here were
looked at only once, afterwards.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from harness.config import (
    SGD,
    AdamW,
    Budget,
    Constant,
    Cosine,
    InverseTime,
    Linear,
    ModelConfig,
    OneCycle,
    Schedule,
    Step,
    TrainConfig,
)
from harness.corpus import Corpus
from harness.train import Move, Nats, Verdict, derive, judge, moves, train

TRIALS = 60
_KINDS = ["searched"] * 11 + ["lecture's"] * 4 + ["small"] * 2 + ["wide"] * 2 + ["hot"]
"""The kinds of twenty trials."""


@dataclass(frozen=True)
class Followed:
    """One trial, and its dev loss after the advice and after a random change; losses in nats per symbol."""

    trial: int
    kind: str
    verdict: Verdict
    dev_nats: Nats
    advice: str
    """Empty if there was nothing to change."""
    advice_knob: str = ""
    advised_nats: Nats | None = None
    change: str = ""
    """The random change; empty if there was no advice to compare with."""
    change_knob: str = ""
    changed_nats: Nats | None = None
    config: str = ""
    """The trial's config as JSON, so that the trial can be repeated."""


def measure_advice(corpus: Corpus, trials: int = TRIALS) -> Iterator[Followed]:
    """Draw, train and judge each trial, follow its advice, and make a random change of the same trial."""
    for number in range(trials):
        kind = _KINDS[number * 7 % len(_KINDS)]  # 7 and 20 have no common factor, so the kinds are mixed
        yield follow(number, kind, draw(kind, derive(number, "advice")), corpus)


def follow(number: int, kind: str, config: TrainConfig, corpus: Corpus) -> Followed:
    """Train and judge one trial, then train it with the advice followed and with a random change."""
    result = train(config, corpus)
    found = judge(result, config, corpus)
    base = partial(Followed, number, kind, found.verdict, result.dev_nats, config=config.model_dump_json())
    if found.next is None:
        return base(advice="")
    advised = next(move for move in moves(config).values() if move.config == found.next)
    changed = random_change(config, found.verdict, random.Random(derive(config.seed, "change")))
    advised_nats = train(advised.config, corpus).dev_nats
    same = changed.config == advised.config
    return base(
        advice=advised.text,
        advice_knob=advised.knob,
        advised_nats=advised_nats,
        change=changed.text,
        change_knob=changed.knob,
        changed_nats=advised_nats if same else train(changed.config, corpus).dev_nats,
    )


def random_change(config: TrainConfig, verdict: Verdict, rng: random.Random) -> Move:
    """A random move: first a knob, then one of its moves, all equally likely. Advice chooses from the same moves."""
    by_knob: dict[str, list[Move]] = {}
    for move in moves(config).values():
        if move.name != "far lower rate" or verdict == "diverged":  # the advice uses this move only for diverged runs
            by_knob.setdefault(move.knob, []).append(move)
    return rng.choice(by_knob[rng.choice(sorted(by_knob))])


def draw(kind: str, seed: int) -> TrainConfig:
    """A cheap trial of one kind, which takes a few seconds at most."""
    rng = random.Random(seed)
    config = {"searched": _searched, "lecture's": _lectures, "small": _small, "wide": _wide, "hot": _hot}[kind](rng)
    return config.model_copy(update={"seed": seed})


def _searched(rng: random.Random) -> TrainConfig:
    """From the space of studies/beat_lecture.py, with an eighth of its budget."""
    return TrainConfig(
        model=_shape(rng, (4, 64), (64, 768), (3, 12)),
        optimizer=AdamW(learning_rate=_log(rng, 1e-3, 5e-2), weight_decay=_log(rng, 1e-4, 0.3)),
        schedule=_schedule(rng),
        batch_size=rng.choice([256, 512, 1024, 2048]),
        dropout=rng.uniform(0, 0.5),
        budget=_CHEAP,
    )


def _lectures(rng: random.Random) -> TrainConfig:
    """Around the values that the lecture tunes by hand."""
    shape = _shape(rng, (2, 16), (50, 300), (2, 5))
    return TrainConfig(
        model=shape.model_copy(update={"init": rng.choice(["normal", "scaled"])}),
        optimizer=SGD(learning_rate=_log(rng, 0.01, 0.5)),
        schedule=rng.choice([Constant(), Step(at=rng.uniform(0.4, 0.9))]),
        batch_size=rng.choice([32, 64]),
        budget=_CHEAP,
    )


def _small(rng: random.Random) -> TrainConfig:
    """Deliberately too small."""
    return TrainConfig(
        model=_shape(rng, (2, 6), (2, 24), (1, 5)),
        optimizer=AdamW(learning_rate=_log(rng, 3e-3, 3e-2)),
        schedule=_schedule(rng),
        batch_size=256,
        budget=_CHEAP,
    )


def _wide(rng: random.Random) -> TrainConfig:
    """Deliberately wide, without regularisation, and trained for longer."""
    return TrainConfig(
        model=_shape(rng, (32, 64), (400, 700), (5, 12)),
        optimizer=AdamW(learning_rate=_log(rng, 3e-3, 1e-2)),
        schedule=_schedule(rng),
        batch_size=512,
        budget=Budget(examples=1_000_000),
    )


def _hot(rng: random.Random) -> TrainConfig:
    """With a deliberately high learning rate."""
    optimizer: Callable[..., SGD | AdamW] = rng.choice([SGD, AdamW])
    return TrainConfig(
        model=ModelConfig(embedding_size=10, hidden_width=200, context_length=rng.randint(3, 8)),
        optimizer=optimizer(learning_rate=_log(rng, 0.3, 10)),
        schedule=_schedule(rng),
        batch_size=256,
        budget=_CHEAP,
    )


_CHEAP = Budget(examples=300_000)


def _shape(
    rng: random.Random, embedding: tuple[int, int], width: tuple[int, int], context: tuple[int, int]
) -> ModelConfig:
    return ModelConfig(
        embedding_size=round(_log(rng, *embedding)),
        hidden_width=round(_log(rng, *width)),
        context_length=rng.randint(*context),
    )


def _schedule(rng: random.Random) -> Schedule:
    schedules: list[Callable[[], Schedule]] = [
        Constant,
        lambda: Step(at=rng.uniform(0.4, 0.9)),
        lambda: Linear(warmup=rng.uniform(0, 0.2)),
        lambda: Cosine(warmup=rng.uniform(0, 0.2)),
        lambda: OneCycle(peak_at=rng.uniform(0.1, 0.5)),
        lambda: InverseTime(decay=_log(rng, 1, 100)),
    ]
    return rng.choice(schedules)()


def _log(rng: random.Random, low: float, high: float) -> float:
    return low * math.exp(rng.random() * math.log(high / low))
