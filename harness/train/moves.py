"""The possible moves from a config. Each is one change of one knob, in words and as the changed config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.config import Budget, Constant, Linear, Step, TrainConfig
from harness.errors import ConfigError

_FIRST_WIDTH = 64
"""Units of the hidden layer that a model without one is advised to add."""


@dataclass(frozen=True)
class Move:
    """One change of one knob."""

    knob: str
    name: str
    """What it does to the knob: `wider`, `less dropout`."""
    text: str
    """The change in words with its numbers: `widen the hidden layer from 64 to 128`."""
    config: TrainConfig


def moves(config: TrainConfig) -> dict[str, Move]:
    """Every move from a config by name: each knob in both directions, within the config's bounds.

    The learning rate has two moves down: to a third, and to a tenth for a run that diverged.
    """
    found = [
        *_model_moves(config), *_regularisation_moves(config), *_rate_moves(config),
        *_schedule_moves(config), *_budget_moves(config),
    ]  # fmt: skip
    return {move.name: move for move in found if move is not None and move.config != config}


def _model_moves(config: TrainConfig) -> list[Move | None]:
    shape = config.model

    def changed(field: str, name: str, verb: str, value: int) -> Move | None:
        text = f"{verb} from {getattr(shape, field)} to {value}"
        return _move(config, field.partition("_")[0], name, text, {"model": {field: value}})

    width = shape.hidden_width
    if width:
        wider = changed("hidden_width", "wider", "widen the hidden layer", 2 * width)
    else:
        text, added = f"add a hidden layer of {_FIRST_WIDTH}", {"hidden_width": _FIRST_WIDTH}
        wider = _move(config, "hidden", "wider", text, {"model": added})
    return [
        wider,
        changed("hidden_width", "narrower", "make the hidden layer narrower,", max(min(width, 1), width // 2)),
        changed("embedding_size", "larger embedding", "enlarge the embedding", 2 * shape.embedding_size),
        changed("embedding_size", "smaller embedding", "make the embedding smaller,", shape.embedding_size // 2),
        changed("context_length", "longer context", "lengthen the context", shape.context_length + 2),
        changed("context_length", "shorter context", "shorten the context", shape.context_length - 2),
    ]


def _regularisation_moves(config: TrainConfig) -> list[Move | None]:
    dropout, decay = config.dropout, config.optimizer.weight_decay
    least = {"sgd": 1e-4, "adamw": 0.1}[config.optimizer.kind]
    more, less = round(dropout + 0.15, 4), round(dropout / 2, 4) if dropout >= 0.1 else 0.0
    up, down = max(least, 3 * decay), decay / 10 if decay > least / 100 else 0.0

    def decayed(name: str, verb: str, value: float) -> Move | None:
        text = f"{verb} weight decay from {decay:.2g} to {value:.2g}"
        return _move(config, "weight decay", name, text, {"optimizer": {"weight_decay": value}})

    def dropping(name: str, verb: str, value: float) -> Move | None:
        if not config.model.hidden_width:  # there are no units to drop
            return None
        text = f"{verb} dropout from {dropout:.2g} to {value:.2g}"
        return _move(config, "dropout", name, text, {"dropout": value})

    return [
        dropping("more dropout", "raise", more),
        dropping("less dropout", "lower", less),
        decayed("more weight decay", "raise", up),
        decayed("less weight decay", "lower", down),
    ]


def _rate_moves(config: TrainConfig) -> list[Move | None]:
    rate = config.optimizer.learning_rate

    def changed(name: str, verb: str, factor: float) -> Move | None:
        value = float(f"{factor * rate:.4g}")
        text = f"{verb} the learning rate from {rate:.2g} to {value:.2g}"
        return _move(config, "learning rate", name, text, {"optimizer": {"learning_rate": value}})

    return [
        changed("higher rate", "raise", 3),
        changed("lower rate", "lower", 1 / 3),
        changed("far lower rate", "lower", 0.1),
    ]


def _schedule_moves(config: TrainConfig) -> list[Move]:
    schedule = config.schedule
    found = [
        Move("schedule", "decay", "decay the learning rate linearly to zero", _with(config, schedule=Linear())),
        Move("schedule", "no decay", "keep the learning rate constant", _with(config, schedule=Constant())),
    ]
    later = round((1 + schedule.at) / 2, 4) if isinstance(schedule, Step) else 1.0
    if isinstance(schedule, Step) and later < 1:
        text = f"decay the learning rate later, at {later:.2g} of the run rather than {schedule.at:.2g}"
        stepped = Step(at=later, factor=schedule.factor)
        found.append(Move("schedule", "later decay", text, _with(config, schedule=stepped)))
    return found


def _budget_moves(config: TrainConfig) -> list[Move | None]:
    ((unit, amount),) = config.budget.model_dump(exclude_none=True).items()

    def changed(name: str, verb: str, value: float) -> Move | None:
        try:
            budget = Budget(**{unit: value})
        except ConfigError:
            return None
        return Move("budget", name, f"{verb} {value:,} {unit} rather than {amount:,}", _with(config, budget=budget))

    half = amount / 2 if unit == "seconds" else amount // 2
    return [changed("more steps", "train for", 2 * amount), changed("fewer steps", "stop earlier: train for", half)]


def _with(config: TrainConfig, **changes: Any) -> TrainConfig:
    return config.model_copy(update=changes)


def _move(config: TrainConfig, knob: str, name: str, text: str, changes: dict[str, Any]) -> Move | None:
    """The move, or None if the config's bounds forbid it."""
    data = config.model_dump()
    for key, value in changes.items():
        data[key] = data[key] | value if isinstance(value, dict) else value
    try:
        return Move(knob, name, text, TrainConfig.parse(data))
    except ConfigError:
        return None
