"""What a diagnosis is worth: its advice followed once, beside one random change of the same trial and seed.

The trials are drawn from a search's space, from the lecture's own settings, and badly on purpose.
Constants and moves were chosen on trials of other seeds; these were looked at once, afterwards.
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
"""What twenty trials are drawn as."""


@dataclass(frozen=True)
class Followed:
    """One trial, and what became of it by advice and by chance; dev losses in nats per symbol."""

    trial: int
    kind: str
    verdict: Verdict
    dev_nats: Nats
    advice: str
    """Empty where there was nothing to turn."""
    advice_knob: str = ""
    advised_nats: Nats | None = None
    change: str = ""
    """The random one; empty where there was no advice to hold it against."""
    change_knob: str = ""
    changed_nats: Nats | None = None
    config: str = ""
    """As JSON, so that anybody can follow it again."""


def measure_advice(corpus: Corpus, trials: int = TRIALS) -> Iterator[Followed]:
    """Draw, train and judge trial after trial; follow the advice; make a random change of the same trial."""
    for number in range(trials):
        kind = _KINDS[number * 7 % len(_KINDS)]  # 7 and 20 share no factor: kinds take turns
        yield follow(number, kind, draw(kind, derive(number, "advice")), corpus)


def follow(number: int, kind: str, config: TrainConfig, corpus: Corpus) -> Followed:
    """One trial, judged, followed and changed."""
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


def random_change(config: TrainConfig, verdict: Verdict, chance: random.Random) -> Move:
    """One knob, each as likely, then one of its moves, each as likely: the same moves that advice chooses from."""
    by_knob: dict[str, list[Move]] = {}
    for move in moves(config).values():
        if move.name != "far lower rate" or verdict == "diverged":  # advice goes that far down only then
            by_knob.setdefault(move.knob, []).append(move)
    return chance.choice(by_knob[chance.choice(sorted(by_knob))])


def draw(kind: str, seed: int) -> TrainConfig:
    """A cheap trial of one kind: some seconds at most."""
    chance = random.Random(seed)
    config = {"searched": _searched, "lecture's": _lectures, "small": _small, "wide": _wide, "hot": _hot}[kind](chance)
    return config.model_copy(update={"seed": seed})


def _searched(chance: random.Random) -> TrainConfig:
    """The space of studies/beat_lecture.py at an eighth of its budget."""
    return TrainConfig(
        model=_shape(chance, (4, 64), (64, 768), (3, 12)),
        optimizer=AdamW(learning_rate=_log(chance, 1e-3, 5e-2), weight_decay=_log(chance, 1e-4, 0.3)),
        schedule=_schedule(chance),
        batch_size=chance.choice([256, 512, 1024, 2048]),
        dropout=chance.uniform(0, 0.5),
        budget=_CHEAP,
    )


def _lectures(chance: random.Random) -> TrainConfig:
    """Around what the lecture turns by hand."""
    shape = _shape(chance, (2, 16), (50, 300), (2, 5))
    return TrainConfig(
        model=shape.model_copy(update={"init": chance.choice(["normal", "scaled"])}),
        optimizer=SGD(learning_rate=_log(chance, 0.01, 0.5)),
        schedule=chance.choice([Constant(), Step(at=chance.uniform(0.4, 0.9))]),
        batch_size=chance.choice([32, 64]),
        budget=_CHEAP,
    )


def _small(chance: random.Random) -> TrainConfig:
    """Too small on purpose."""
    return TrainConfig(
        model=_shape(chance, (2, 6), (2, 24), (1, 5)),
        optimizer=AdamW(learning_rate=_log(chance, 3e-3, 3e-2)),
        schedule=_schedule(chance),
        batch_size=256,
        budget=_CHEAP,
    )


def _wide(chance: random.Random) -> TrainConfig:
    """Wide, without any regularisation, and trained for longer, on purpose."""
    return TrainConfig(
        model=_shape(chance, (32, 64), (400, 700), (5, 12)),
        optimizer=AdamW(learning_rate=_log(chance, 3e-3, 1e-2)),
        schedule=_schedule(chance),
        batch_size=512,
        budget=Budget(examples=1_000_000),
    )


def _hot(chance: random.Random) -> TrainConfig:
    """At a rate that is too high on purpose."""
    optimizer: Callable[..., SGD | AdamW] = chance.choice([SGD, AdamW])
    return TrainConfig(
        model=ModelConfig(embedding_size=10, hidden_width=200, context_length=chance.randint(3, 8)),
        optimizer=optimizer(learning_rate=_log(chance, 0.3, 10)),
        schedule=_schedule(chance),
        batch_size=256,
        budget=_CHEAP,
    )


_CHEAP = Budget(examples=300_000)


def _shape(
    chance: random.Random, embedding: tuple[int, int], width: tuple[int, int], context: tuple[int, int]
) -> ModelConfig:
    return ModelConfig(
        embedding_size=round(_log(chance, *embedding)),
        hidden_width=round(_log(chance, *width)),
        context_length=chance.randint(*context),
    )


def _schedule(chance: random.Random) -> Schedule:
    schedules: list[Callable[[], Schedule]] = [
        Constant,
        lambda: Step(at=chance.uniform(0.4, 0.9)),
        lambda: Linear(warmup=chance.uniform(0, 0.2)),
        lambda: Cosine(warmup=chance.uniform(0, 0.2)),
        lambda: OneCycle(peak_at=chance.uniform(0.1, 0.5)),
        lambda: InverseTime(decay=_log(chance, 1, 100)),
    ]
    return chance.choice(schedules)()


def _log(chance: random.Random, low: float, high: float) -> float:
    return low * math.exp(chance.random() * math.log(high / low))
