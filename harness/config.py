"""The validated config of a run: model, optimiser, schedule, batches, budget and seed.

Every config is frozen, rejects unknown keys, survives JSON unchanged and has a stable
hash, so that a trial can be run again from its record.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from harness.errors import ConfigError, nearest


class Config(BaseModel):
    """Base class of all configs: frozen, finite numbers only.

    Raises:
        ConfigError: a key or value breaks a rule; the message is one line.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    added_later: ClassVar[tuple[str, ...]] = ()
    """Fields that earlier versions did not have. Their defaults are left out of JSON, so that configs stored before
    keep their JSON and their hash."""

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise ConfigError(_one_line(type(self), error)) from None

    @classmethod
    def parse(cls, data: str | dict[str, Any]) -> Self:
        """A config from JSON text or from a dict.

        Raises:
            ConfigError: the text is not JSON, or a key or value breaks a rule.
        """
        if not isinstance(data, str | dict):
            raise ConfigError(f"a config must be JSON text or a dict of keys; got {data!r}. Give one of these.")
        try:
            return cls.model_validate_json(data) if isinstance(data, str) else cls(**data)
        except ValidationError as error:
            raise ConfigError(_one_line(cls, error)) from None

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document: dict[str, Any] = handler(self)
        for name in self.added_later:
            if getattr(self, name) == type(self).model_fields[name].default:
                document.pop(name, None)
        return document


class Extra(Mapping[str, Any]):
    """The settings of a user's own model: an immutable mapping from names to text, numbers and bools.

    Raises:
        ValueError: a name is not an identifier in ASCII, or a value is of another kind.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {name: _setting(name, values[name]) for name in sorted(values, key=str)}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(tuple(self._values.items()))

    def __repr__(self) -> str:
        return repr(self._values)


def _setting(name: object, value: object) -> str | int | float:
    """The value as JSON gives it back: numpy's float64, for instance, is a float that prints itself otherwise."""
    if not (isinstance(name, str) and re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name)):
        raise ValueError(f"must have names made of letters, digits and _; got {name!r}")
    if isinstance(value, str) and value.isprintable():  # line ends and lone surrogates are not
        return str(value)
    if isinstance(value, int) and abs(value) < 2**63:
        return value if isinstance(value, bool) else int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    raise ValueError(f"must have values that are one line of text, finite numbers or bools; got {name}={value!r}")


def _as_extra(given: object) -> Extra:
    if not isinstance(given, Mapping):
        raise ValueError(f"must be a dict of settings, as in extra={{'layers': 2}}; got {given!r}")
    return Extra(given)


def _sorted(extra: Mapping[str, Any]) -> dict[str, Any]:
    return dict(sorted(extra.items()))  # model_copy puts in what it is given


class ModelConfig(Config):
    """The lecture's MLP: embedding table, concatenated context, tanh hidden layer, softmax.

    Knobs extend it, all off by default: another activation, a second hidden layer, the paper's direct connections
    (Bengio et al. 2003, equation 1) and, only with these, no hidden layer at all.
    """

    added_later: ClassVar[tuple[str, ...]] = ("second_width", "direct_connections", "activation", "extra")

    embedding_size: int = Field(16, ge=1, le=512)
    """Numbers per symbol in the embedding (the paper's m)."""
    hidden_width: int = Field(200, ge=0, le=8192)
    """Units in the hidden layer (the paper's h). 0 for no hidden layer, which needs direct connections."""
    second_width: int = Field(0, ge=0, le=8192)
    """Units in a second hidden layer above the first. 0 for none."""
    direct_connections: bool = False
    """Whether the embeddings of a context are also connected directly to the logits (the paper's W)."""
    activation: Literal["tanh", "relu", "gelu"] = "tanh"
    """The function that the units of every hidden layer apply to the sum of their inputs."""
    context_length: int = Field(8, ge=1, le=64)
    """Symbols the model sees before the one it predicts (the paper's n - 1)."""
    init: Literal["scaled", "normal"] = "scaled"
    """`scaled` keeps activations near unit size. `normal` draws all weights from N(0, 1), as the lecture does."""
    extra: Annotated[Extra, PlainValidator(_as_extra), PlainSerializer(_sorted)] = Extra({})
    """Settings of a user's own model, which its `build` reads, as in `extra={"layers": 2, "activation": "relu"}`.

    Names are identifiers; values are text, finite numbers or bools. The built-in model has none.
    """

    @model_validator(mode="after")
    def _every_layer_has_one_below(self) -> Self:
        if self.hidden_width == 0 and not self.direct_connections:
            raise ValueError("must have direct_connections=True if there is no hidden layer; got hidden_width=0")
        if self.hidden_width == 0 and self.second_width:
            raise ValueError(
                f"must have a first hidden layer below the second; got hidden_width=0, second_width={self.second_width}"
            )
        return self


class SGD(Config):
    """Stochastic gradient descent. Weight decay is added to the gradient."""

    added_later: ClassVar[tuple[str, ...]] = ("decay_biases",)

    kind: Literal["sgd"] = "sgd"
    learning_rate: float = Field(0.1, gt=0)
    momentum: float = Field(0.0, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    decay_biases: bool = True
    """Whether weight decay shrinks biases too. The paper's does not: it decays weights and embeddings only
    (Bengio et al. 2003, section 2). In a model of your own, every trained tensor with fewer than two dimensions counts
    as a bias, gains of normalisation layers included."""


class AdamW(Config):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    added_later: ClassVar[tuple[str, ...]] = ("decay_biases",)

    kind: Literal["adamw"] = "adamw"
    learning_rate: float = Field(3e-3, gt=0)
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.99, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    decay_biases: bool = True
    """As in `SGD`."""


class Constant(Config):
    """The same learning rate for the whole run."""

    kind: Literal["constant"] = "constant"


class Step(Config):
    """The lecture's decay: the rate is multiplied by `factor` after fraction `at` of the run."""

    kind: Literal["step"] = "step"
    at: float = Field(0.5, gt=0, lt=1)
    factor: float = Field(0.1, gt=0, le=1)


class Linear(Config):
    """Linear warm-up, then linear decay to `final` times the rate."""

    kind: Literal["linear"] = "linear"
    warmup: float = Field(0.0, ge=0, lt=1)
    """Fraction of the run in which the rate rises linearly from zero to the full rate."""
    final: float = Field(0.0, ge=0, le=1)


class Cosine(Config):
    """Linear warm-up, then decay along half a cosine to `final` times the rate."""

    kind: Literal["cosine"] = "cosine"
    warmup: float = Field(0.05, ge=0, lt=1)
    final: float = Field(0.0, ge=0, le=1)


class OneCycle(Config):
    """The rate rises along a cosine from rate / `start_divisor` until `peak_at`, then falls to zero (Smith 2018).

    Only the rate changes; momentum is constant.
    """

    kind: Literal["one_cycle"] = "one_cycle"
    peak_at: float = Field(0.3, gt=0, lt=1)
    start_divisor: float = Field(25.0, ge=1)


class InverseTime(Config):
    """rate / (1 + `decay` * t), where t is the fraction of the run done (Bengio et al. 2003, section 3.1).

    The paper counts t in updates. With a fraction, the same value works for every budget.
    """

    kind: Literal["inverse_time"] = "inverse_time"
    decay: float = Field(10.0, ge=0)


Optimizer = Annotated[SGD | AdamW, Field(discriminator="kind")]
Schedule = Annotated[Constant | Step | Linear | Cosine | OneCycle | InverseTime, Field(discriminator="kind")]


class Budget(Config):
    """The length of a run: exactly one of examples seen, optimiser steps or seconds of training."""

    examples: int | None = Field(None, ge=1)
    steps: int | None = Field(None, ge=1)
    seconds: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in ("examples", "steps", "seconds") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"must set exactly one of examples, steps, seconds; got {given or 'none'}")
        return self

    def total_steps(self, batch_size: int) -> int | None:
        """Optimiser steps of the whole run; None if the budget is in seconds."""
        if self.examples is not None:
            return max(1, round(self.examples / batch_size))
        return self.steps


class TrainConfig(Config):
    """Everything that defines a run."""

    model: ModelConfig = ModelConfig()
    optimizer: Optimizer = AdamW()
    schedule: Schedule = Cosine()
    batch_size: int = Field(256, ge=1, le=65_536)
    """Examples per step, drawn with replacement from the train split."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of hidden units set to zero in each training step."""
    budget: Budget = Budget(examples=2_000_000)
    evaluations: int = Field(10, ge=1, le=1000)
    """Number of exact evaluations of train and dev, evenly spaced. The last one is at the end of the run."""
    seed: int = Field(0, ge=0, lt=2**63)

    def by_key(self) -> dict[str, Any]:
        """Plain values by dotted key, in the form `harness train` takes. Keys whose value is None are left out."""
        return dict(_dotted(self.model_dump(mode="json")))

    def hash(self) -> str:
        """Twelve hexadecimal digits that identify this config; the same on every machine."""
        return hashlib.sha256(self.model_dump_json().encode("utf-8")).hexdigest()[:12]


def _dotted(nested: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in nested.items():
        if isinstance(value, dict):
            yield from _dotted(value, f"{before}{key}.")
        elif value is not None:
            yield before + key, value


def _one_line(model: type[BaseModel], error: ValidationError) -> str:
    # A config inside a config has already raised its own error in its own __init__, with its own fields.
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = list(model.model_fields)
        own = " A setting of your own model goes into extra." if model is ModelConfig else ""
        return f"unknown config key {place!r}; known here: {', '.join(known)}.{nearest(place, known) or own}"
    rule = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    shown = "" if first["type"] == "value_error" else f"; got {first['input']!r}"
    near = _nearest_choice(first.get("ctx", {}), first["input"])
    return f"{model.__name__}: {place + ' ' if place else ''}{rule}{shown}.{near} Fix it where the config is made."


def _nearest_choice(context: dict[str, Any], given: object) -> str:
    """A hint if the value must be one of several words: a literal, or the tag of an optimiser or schedule."""
    choices = re.findall(r"'([^']+)'", str(context.get("expected_tags") or context.get("expected") or ""))
    word = context.get("tag", given)
    return nearest(word, choices) if isinstance(word, str) else ""
