"""The ideas, as data: what each changes in the base config, and what became of it.

To add an idea, add a line to `IDEAS`. `harness bench ideas` then trains what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.bench.ideas.own import Scaled, Tied, Variant
from harness.bench.ideas.updates import Averaged, Updated
from harness.config import AdamW, Budget, Cosine, ModelConfig, TrainConfig
from harness.model import Build, CharMLP

BASE = TrainConfig(
    model=ModelConfig(embedding_size=40, hidden_width=512, context_length=8),
    optimizer=AdamW(learning_rate=1e-2, weight_decay=0.1),
    schedule=Cosine(warmup=0.05),
    batch_size=2048,
    dropout=0.15,
    budget=Budget(examples=5_000_000),
    evaluations=1,
)
"""What every idea is compared with. It was fixed before any idea was measured beside it."""

BUILDS: dict[str, Build] = {
    "CharMLP": CharMLP.build,
    "Scaled": Scaled.build,
    "Variant": Variant.build,
    "Tied": Tied.build,
    "Averaged": Averaged.build,
    "Updated": Updated.build,
}
"""The built-in model, and those of `own` and `updates`, by their names in the measurements."""

SPACE = "in the default space"
KNOB = "a knob, not in the default space"
RECIPE = "kept: the lecture uses it"
PAPER = "kept: the paper uses it"
STORED = "kept: stored studies have it"
LISTED = "scored beside the winner"
OUT = "not in the code"


@dataclass(frozen=True)
class Idea:
    """One change of the base config."""

    name: str
    """Unique, and for people only: measurements are found by the config."""
    group: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    """New values by dotted config key. A dict replaces a whole section, such as the optimiser."""
    build: str = "CharMLP"
    """Which of `BUILDS` makes the model."""
    members: int = 1
    """Models from different seeds whose probabilities are averaged."""
    decision: str = OUT

    @property
    def config(self) -> TrainConfig:
        """The config of this idea, with seed 0."""
        document = BASE.model_dump(mode="json")
        for key, value in self.changes.items():
            *sections, last = key.split(".")
            inner = document
            for section in sections:
                inner = inner.setdefault(section, {})
            inner[last] = value
        return TrainConfig.parse(document)

    @property
    def key(self) -> str:
        """What a measurement depends on besides corpus and seed."""
        return f"{self.config.hash()}/{self.build}/{self.members}"

    @property
    def settings(self) -> str:
        """The changes as `harness train` takes them, after the base's."""
        return " ".join(f"{key}={_text(value)}" for key, value in _dotted(self.changes))


def settings_of(config: TrainConfig) -> str:
    """A whole config but its seed, as `harness train` takes it."""
    return " ".join(f"{key}={_text(value)}" for key, value in config.by_key().items() if key != "seed")


def _dotted(changes: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in changes.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{before}{key}.")
        else:
            yield before + key, value


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _own(name: str, group: str, build: str, changes: Mapping[str, Any] | None = None, **extra: Any) -> Idea:
    """An idea of a user's own model, by its settings in `model.extra`."""
    settings = {f"model.extra.{key}": value for key, value in extra.items()}
    return Idea(name, group, {**(changes or {}), **settings}, build)


def _dropout() -> Iterator[Idea]:
    for rate in (0.0, 0.05, 0.1, 0.25):
        words = f"dropout {rate:g} instead of 0.15" if rate else "no dropout"
        yield Idea(words, "dropout", {"dropout": rate}, decision=SPACE)
    yield _own("a dropout mask for each example", "dropout", "Variant", mask_each_example=True)
    yield _own("dropout of whole characters, 0.02", "dropout", "Variant", character_dropout=0.02)


def _regularisation() -> Iterator[Idea]:
    for decay in (0.0, 0.03, 0.3):
        words = f"weight decay {decay:g} instead of 0.1" if decay else "no weight decay"
        yield Idea(words, "weight decay", {"optimizer.weight_decay": decay}, decision=SPACE)
    yield Idea("biases are not decayed", "weight decay", {"optimizer.decay_biases": False}, decision=PAPER)
    yield _own("label smoothing 0.05", "label smoothing", "Variant", label_smoothing=0.05)


def _averages() -> Iterator[Idea]:
    constant = {"schedule": {"kind": "constant"}}
    yield _own("average of weights, decay 0.99", "averaging", "Averaged", decay=0.99)
    yield _own("average of weights over the last 10% of steps", "averaging", "Averaged", tail=0.1)
    yield _own("constant rate, average over the last half", "averaging", "Averaged", constant, tail=0.5)


def _activations() -> Iterator[Idea]:
    more = {"dropout": 0.3, "optimizer.weight_decay": 0.3}
    for name in ("relu", "gelu"):
        change = {"model.activation": name}
        yield Idea(f"{name} instead of tanh", "activation", change, decision=SPACE)
        yield Idea(f"{name}, dropout 0.3, weight decay 0.3", "activation", change | more, decision=SPACE)
    yield Idea("tanh, dropout 0.3, weight decay 0.3", "activation", more, decision=SPACE)
    yield _own("silu instead of tanh", "activation", "Variant", activation="silu")
    yield _own("LayerNorm before tanh", "activation", "Variant", normalised=True)


def _layers() -> Iterator[Idea]:
    yield Idea("embeddings tied to the output", "layers", build="Tied")
    direct: dict[str, Any] = {"model.direct_connections": True}
    yield Idea("direct connections", "layers", direct, decision=PAPER)
    alone = direct | {"model.hidden_width": 0}
    yield Idea("direct connections, no hidden layer", "layers", alone, decision=PAPER)
    yield Idea("a second hidden layer of 256", "layers", {"model.second_width": 256}, decision=SPACE)


def _initialisations() -> Iterator[Idea]:
    yield Idea("N(0, 1) for all weights", "initialisation", {"model.init": "normal"}, decision=RECIPE)
    yield _own("output weights of 0", "initialisation", "Scaled", w2=0.0)
    yield _own("embeddings of size 0.3 instead of 1", "initialisation", "Scaled", embedding=0.3)
    yield _own("hidden inputs of size 1 instead of 5/3", "initialisation", "Scaled", w1=0.6)


def _optimizers() -> Iterator[Idea]:
    for rate in (5e-3, 2e-2):
        yield Idea(f"rate {rate:g} instead of 0.01", "optimiser", {"optimizer.learning_rate": rate}, decision=SPACE)
    for beta1 in (0.0, 0.8):
        words = f"AdamW, beta1 {beta1:g} instead of 0.9" if beta1 else "AdamW, beta1 0: RMSprop"
        yield Idea(words, "optimiser", {"optimizer.beta1": beta1}, decision=KNOB)
    yield Idea("AdamW, beta2 0.999 instead of 0.99", "optimiser", {"optimizer.beta2": 0.999}, decision=KNOB)
    for momentum, rate in ((0.0, 1.0), (0.9, 0.3)):
        sgd = {
            "kind": "sgd",
            "learning_rate": rate,
            "momentum": momentum,
            "weight_decay": _decay(rate / (1 - momentum)),
        }
        words = f"SGD, momentum {momentum:g}, rate {rate:g}"
        yield Idea(words, "optimiser", {"optimizer": sgd}, decision=RECIPE)
    yield _updated("Lion, rate 0.001", 1e-3, update="lion")


def _updated(name: str, rate: float, **extra: Any) -> Idea:
    """Another optimiser, with the base's weight decay per step."""
    sgd = {"optimizer": {"kind": "sgd", "learning_rate": rate}}
    return _own(name, "optimiser", "Updated", sgd, **extra, weight_decay=_decay(rate))


def _decay(rate: float) -> float:
    """The weight decay that shrinks weights as fast as the base's, at another rate."""
    settings = BASE.optimizer
    return float(f"{settings.learning_rate * settings.weight_decay / rate:.3g}")


def _schedules() -> Iterator[Idea]:
    for kind, decision in (
        ("constant", RECIPE),
        ("step", RECIPE),
        ("linear", SPACE),
        ("one_cycle", STORED),
        ("inverse_time", PAPER),
    ):
        schedule = {"kind": kind} | ({"warmup": 0.05} if kind == "linear" else {})
        words = f"{kind.replace('_', ' ')} schedule instead of cosine"
        yield Idea(words, "schedule", {"schedule": schedule}, decision=decision)
    yield Idea("no warm-up", "schedule", {"schedule.warmup": 0.0}, decision=SPACE)


def _batches() -> Iterator[Idea]:
    for batch, rate in ((1024, 7e-3), (4096, 1.4e-2)):
        changes = {"batch_size": batch, "optimizer.learning_rate": rate}
        words = f"batch {batch:,}, same examples, rate {rate:g}"
        yield Idea(words, "batch", changes, decision=SPACE if batch < 4096 else KNOB)


def _ensembles() -> Iterator[Idea]:
    yield Idea("ensemble of 5 seeds", "ensemble", members=5, decision=LISTED)


REFERENCE = Idea("base", "base")
IDEAS: tuple[Idea, ...] = (
    *_dropout(),
    *_regularisation(),
    *_averages(),
    *_activations(),
    *_layers(),
    *_initialisations(),
    *_optimizers(),
    *_schedules(),
    *_batches(),
    *_ensembles(),
)
"""Everything that is compared with `REFERENCE`."""

BEST = (
    Idea(
        "the lowest loss in less than a minute",
        "best",
        {
            "model.activation": "gelu",
            "model.hidden_width": 768,
            "dropout": 0.35,
            "optimizer.weight_decay": 0.3,
            "budget.examples": 7_168_000,
        },
    ),
    Idea(
        "the lecture's own size",
        "best",
        {
            "model": {"embedding_size": 10, "hidden_width": 200, "context_length": 3},
            "optimizer.weight_decay": 0.02,
            "batch_size": 1024,
            "dropout": 0.02,
            "budget.examples": 20_480_000,
        },
    ),
)
"""Configs for the built-in model that combine what pays, measured on `names`; the page says which seeds were fresh."""
