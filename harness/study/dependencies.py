"""What a study's numbers depend on: what `suggest` makes of seeded draws, and what `build` makes of those configs.

It is taken when a study starts, stored with it, and compared by every process before it works on the study.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from pydantic import BaseModel
from torch import Tensor

from harness.config import TrainConfig
from harness.errors import HarnessError
from harness.model import (
    MASKS,
    Build,
    Model,
    check_build,
    fixed_contexts,
    fresh_model,
    picked,
    same_values,
)

_PROBES = 6
_SPREAD = 0.3
"""Standard deviation of drawn weights. Many models begin with an output layer near 0, behind which a change of any
other layer could not be seen."""


class Probe(BaseModel, frozen=True):
    """What `build` makes of one config from a fixed seed."""

    config: str
    """Hash of the config."""
    tensors: dict[str, tuple[int, ...]]
    """Shapes by name."""
    initial: tuple[float, ...]
    """Log probabilities in nats that the new model gives fixed targets in fixed contexts."""
    drawn: tuple[float, ...]
    """The same with weights drawn from a fixed seed, whatever `build` draws; empty if they are no weights for it."""
    training: tuple[float, ...]
    """Loss and norm of the gradient on the same batch, dropout included; empty if two calls with one seed differ."""
    masks: int = 1
    """How dropout masks were drawn (`harness.model.dropout.MASKS`); 1 without dropout, too."""


class Dependencies(BaseModel, frozen=True):
    """What every process that works on a study must find again."""

    configs: tuple[str, ...]
    """Hash of each seeded draw's config; `TrialPruned` where `suggest` refused it, empty where it raised."""
    probes: tuple[Probe, ...]
    """Of the first configs that differ, without those for which `build` raises."""


def dependencies_of(configs: Sequence[TrainConfig | str], build: Build, vocabulary_size: int) -> Dependencies:
    """Probe the build with the configs of a study's seeded draws.

    Args:
        configs: with seed 0; `TrialPruned` or an empty text for a draw that has none.

    Raises:
        ConfigError: a model that `build` makes breaks the interface's rules, or has state outside its tensors.
    """
    different = {config.hash(): config for config in configs if isinstance(config, TrainConfig)}
    found = (_probed(build, config, vocabulary_size) for config in list(different.values())[:_PROBES])
    hashes = (config if isinstance(config, str) else config.hash() for config in configs)
    return Dependencies(configs=tuple(hashes), probes=tuple(probe for probe in found if probe is not None))


def changed(kept: Dependencies, now: Dependencies) -> str | None:
    """What differs, in words that follow `a study keeps`; None if nothing does."""
    # An error may be one of the moment, such as a full disk, and says nothing about the configs.
    if any(before and after and before != after for before, after in zip(kept.configs, now.configs, strict=True)):
        return "the configs that suggest() makes of its parameters"
    before, after = ({probe.config: probe for probe in each.probes} for each in (kept, now))
    for config, old in before.items():
        new = after.get(config)
        if new is None or old.tensors != new.tensors:
            return "the tensors that build makes"
        if old.drawn and new.drawn and not same_values(old.drawn, new.drawn):
            return "the predictions that build's model makes of its weights"
        if not same_values(old.initial, new.initial):
            return "the initial weights that build makes of a seed"
        # If only harness draws its masks in another way, the model has not changed; the segments say which version ran.
        comparable = old.masks == new.masks and old.training and new.training
        if comparable and not same_values(old.training, new.training):
            return "the training loss and gradient of build's model"
    return None


def _probed(build: Build, config: TrainConfig, vocabulary_size: int) -> Probe | None:
    """None if `build` raises an error of its own: those trials will fail, and others may not."""
    try:
        initial = picked(check_build(build, config, vocabulary_size, torch.Generator().manual_seed(0)))
        model = fresh_model(build, config, vocabulary_size, torch.Generator().manual_seed(0))
    except HarnessError:
        raise
    except Exception:
        return None
    contexts = fixed_contexts(vocabulary_size, config.model.context_length)
    drawn, training = _with_drawn_weights(model, contexts)
    return Probe(
        config=config.hash(),
        tensors={name: tuple(tensor.shape) for name, tensor in model.tensors().items()},
        initial=initial,
        drawn=drawn,
        training=training,
        masks=MASKS if config.dropout else 1,
    )


def _with_drawn_weights(model: Model, contexts: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Predictions and training; empty for a model that does not work with weights it would not have by itself."""
    model.to("cpu")  # as the trainer does
    _draw_weights(model)
    try:
        drawn = picked(model.log_probabilities(contexts))
        training = _training(model, contexts, contexts[:, -1])
    except Exception:  # a check of its own, such as for positive scales
        return (), ()
    return (drawn, training) if all(map(math.isfinite, (*drawn, *training))) else ((), ())


@torch.no_grad()
def _draw_weights(model: Model) -> None:
    noise = torch.randn(model.parameters.shape, generator=torch.Generator().manual_seed(1))
    model.parameters.copy_(_SPREAD * noise)


def _training(model: Model, contexts: Tensor, targets: Tensor) -> tuple[float, ...]:
    def once() -> tuple[float, float]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            generator = torch.Generator().manual_seed(2)
            loss = float(model.loss_and_gradient(contexts, targets, generator=generator))
        return loss, float(model.gradient.norm())

    first, second = once(), once()
    return first if same_values(first, second) and all(map(math.isfinite, first)) else ()
