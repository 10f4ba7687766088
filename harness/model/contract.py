"""What a user's `build` must return, checked before it is trained: one clear line instead of a failed study.

B batch, T context length, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from harness.config import TrainConfig
from harness.errors import ConfigError, HarnessError, first_line
from harness.model.autograd import Autograd
from harness.model.interface import Build, Model, load_tensors

_TENSORS = ("parameters", "gradient")
_METHODS = ("loss_and_gradient", "log_probabilities", "tensors", "to")
_CONTEXTS = 32
_PARTS = [16, 15, 1]
"""Sizes of the batches in which the same contexts are scored again."""
_TOLERANCE = 1e-4
"""Share of the largest log probability, at least 1 nat, by which the same sums in another order may differ."""
_SAME = 1e-6
"""Nats. The same sums in the same order."""


def fresh_model(build: Build, config: TrainConfig, vocabulary_size: int, generator: torch.Generator) -> Model:
    """A new model from `build`. The same generator gives the same model, even if `build` uses torch's global one.

    The modules of torch.nn are initialised from the global generator. It is seeded for them here and
    restored afterwards.

    Raises:
        ConfigError: what `build` returns is not a model, or predicts in another shape. An error of `build` itself
            is passed on.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator.initial_seed())
        model = _as_model(build(config, vocabulary_size, generator))
        _predictions(model, fixed_contexts(vocabulary_size, config.model.context_length), vocabulary_size)
        return model


def fixed_contexts(vocabulary_size: int, context_length: int) -> Tensor:
    """(32, T) int64 contexts, the same on every machine; about half of them begin with padding."""
    draw = torch.Generator().manual_seed(0)
    contexts = torch.randint(vocabulary_size, (_CONTEXTS, context_length), generator=draw)
    known = torch.randint(2 * context_length + 1, (_CONTEXTS, 1), generator=draw)
    return contexts * (torch.arange(context_length) >= context_length - known)


def check_model(model: object, config: TrainConfig, vocabulary_size: int) -> Tensor:
    """Check a fresh model on fixed contexts. Its weights and torch's global generator stay as they are.

    Returns:
        (32, V) its log probabilities in nats for `fixed_contexts`.

    Raises:
        ConfigError: it lacks a part of the interface; its predictions are not finite log probabilities of shape
            (B, V), differ between two evaluations, or depend on the other contexts of a batch; or its loss and
            gradient have another shape, or are not finite.
    """
    checked = _as_model(model)
    contexts = fixed_contexts(vocabulary_size, config.model.context_length)
    with torch.random.fork_rng(devices=[]), _unchanged(checked):
        torch.manual_seed(0)
        log_p = _predictions(checked, contexts, vocabulary_size)
        _check_distributions(checked, log_p, contexts)
        _check_evaluations(checked, log_p, contexts)
        _check_step(checked, contexts)
    return log_p


def check_build(build: Build, config: TrainConfig, vocabulary_size: int, generator: torch.Generator) -> Tensor:
    """`check_model` on a fresh model of `build`; then, whether its weights after a training step can be restored.

    They are loaded into a second fresh model from another seed, as a report does, which must predict the same.

    Returns:
        (32, V) log probabilities in nats for `fixed_contexts`, of the fresh model.

    Raises:
        ConfigError: as `check_model`, or the second model predicts something else. An error of `build` itself is
            passed on.
    """
    model = fresh_model(build, config, vocabulary_size, generator)
    log_p = check_model(model, config, vocabulary_size)
    other_seed = torch.Generator().manual_seed(generator.initial_seed() ^ 1)
    restored = fresh_model(build, config, vocabulary_size, other_seed)
    contexts = fixed_contexts(vocabulary_size, config.model.context_length)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _step(model, contexts)
        try:
            load_tensors(restored, {name: tensor.clone() for name, tensor in model.tensors().items()})
        except ValueError as error:
            raise ConfigError(
                f"build must make the same tensors for every seed, before and after training; {first_line(error)}. "
                "Give every tensor its name and shape in build."
            ) from None
        trained, again = (_predictions(each, contexts, vocabulary_size) for each in (model, restored))
    far = _distance(again, trained)
    if not far <= _SAME:
        raise ConfigError(
            f"a trained model must predict the same once its tensors() are loaded into a fresh one; predictions differ "
            f"by up to {far:.2g} nats. Keep all state in parameters and persistent buffers (register_buffer)."
        )
    return log_p


def _as_model(found: object) -> Model:
    lacking = [name for name in _TENSORS if not isinstance(getattr(found, name, None), Tensor)]
    lacking += [name for name in _METHODS if not callable(getattr(found, name, None))]
    if not lacking:
        return found  # type: ignore[return-value]  # it has the whole interface
    kind = type(found).__name__
    if isinstance(found, nn.Module):
        raise ConfigError(
            f"build must return a model, not a bare torch module; got {kind}. Return Autograd(module), from harness."
        )
    raise ConfigError(
        f"build must return a model with {', '.join(_TENSORS + _METHODS)}; got {kind}, which lacks "
        f"{', '.join(lacking)}. Return Autograd(module), or add what is missing."
    )


def _predictions(model: Model, contexts: Tensor, vocabulary_size: int) -> Tensor:
    given = contexts.to(model.parameters.device, copy=True)
    with _in_one_line("log_probabilities", contexts):
        log_p = model.log_probabilities(given)
    shape = (len(contexts), vocabulary_size)
    found = tuple(log_p.shape) if isinstance(log_p, Tensor) else type(log_p).__name__
    if found != shape:
        raise ConfigError(
            f"predictions must have the shape (B, V) = {shape}, one row per context and one column per symbol; "
            f"got {found}. Correct the model's output."
        )
    if not torch.equal(given.cpu(), contexts):
        raise ConfigError(
            "a model must not change the contexts that it is given; it writes into them. Copy them first."
        )
    return log_p.detach().cpu()


def _check_distributions(model: Model, log_p: Tensor, contexts: Tensor) -> None:
    if not bool(torch.isfinite(log_p).all()):
        bad = int((~torch.isfinite(log_p)).sum())
        raise ConfigError(
            f"a fresh model's log probabilities must be finite; {bad} of {log_p.numel()} are not. "
            "Change its initial weights or its output."
        )
    log_sums = log_p.double().logsumexp(1)
    if float(log_sums.abs().max()) > _tolerance(log_p):
        raise ConfigError(
            "log_probabilities must return log probabilities, whose exponentials sum to 1 in every row; the logs of "
            f"the sums are {float(log_sums.min()):.3g} to {float(log_sums.max()):.3g} and must be 0. "
            "Return torch.log_softmax(logits, 1)."
        )
    if isinstance(model, Autograd):
        with torch.no_grad():
            logits = model.logits(contexts.to(model.parameters.device)).double()
        if float(logits.min()) >= 0 and float((logits.sum(1) - 1).abs().max()) <= 1e-4:
            raise ConfigError(
                "a module must return logits; its rows are probabilities, which sum to 1. Leave out the softmax."
            )


def _check_evaluations(model: Model, log_p: Tensor, contexts: Tensor) -> None:
    vocabulary_size = log_p.shape[1]
    far = _distance(_predictions(model, contexts, vocabulary_size), log_p)
    if not far <= _SAME:
        raise ConfigError(
            f"two evaluations of the same contexts must agree; they differ by up to {far:.2g} nats. "
            "Use dropout, noise and updates only while the module's self.training is set."
        )
    for part, together in zip(torch.split(contexts, _PARTS), torch.split(log_p, _PARTS), strict=True):
        far = _distance(_predictions(model, part, vocabulary_size), together)
        if not far <= _tolerance(log_p):
            raise ConfigError(
                f"predictions must not depend on the other contexts of a batch; alone and together they differ by up "
                f"to {far:.2g} nats. Normalise within a context, or by running statistics outside training."
            )


def _check_step(model: Model, contexts: Tensor) -> None:
    _check_flat(model)
    loss = _step(model, contexts)
    if loss.numel() != 1 or not bool(torch.isfinite(loss).all()):
        got = f"shape {tuple(loss.shape)}" if loss.numel() != 1 else f"{float(loss)}"
        raise ConfigError(
            f"loss_and_gradient must return the mean nats of a batch, one finite number; got {got}. Return the mean."
        )
    _check_flat(model)


def _check_flat(model: Model) -> None:
    weights, gradient = tuple(model.parameters.shape), tuple(model.gradient.shape)
    if len(weights) != 1 or weights != gradient:
        raise ConfigError(
            f"parameters and gradient must be flat tensors of one shape (P,); got {weights} and {gradient}. "
            "Flatten them, and write the gradient in place."
        )


def _step(model: Model, contexts: Tensor) -> Tensor:
    """The loss of one training step's batch. It writes a gradient and, in some modules, running statistics."""
    device = model.parameters.device
    given, generator = contexts.to(device, copy=True), torch.Generator(device).manual_seed(0)
    with _in_one_line("loss_and_gradient", contexts):
        return torch.as_tensor(model.loss_and_gradient(given, given[:, -1].clone(), generator=generator))


@contextmanager
def _in_one_line(method: str, contexts: Tensor) -> Iterator[None]:
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:  # from the user's code
        raise ConfigError(
            f"{method} must accept int64 contexts of any batch size; for shape {tuple(contexts.shape)} it raises "
            f"{type(error).__name__}: {first_line(error)}. Fix the model."
        ) from error


def _tolerance(log_p: Tensor) -> float:
    return _TOLERANCE * max(1.0, float(log_p.abs().max()))


def _distance(found: Tensor, wanted: Tensor) -> float:
    """The largest difference in nats; nan if a value is not a number."""
    return float((found.double() - wanted.double()).abs().max())


@contextmanager
def _unchanged(model: Model) -> Iterator[None]:
    """Puts weights, statistics and gradient back."""
    before, gradient = {name: tensor.clone() for name, tensor in model.tensors().items()}, model.gradient.clone()
    try:
        yield
    finally:
        with torch.no_grad():
            for name, tensor in model.tensors().items():
                if name in before and before[name].shape == tensor.shape:
                    tensor.copy_(before[name])
            if model.gradient.shape == gradient.shape:
                model.gradient.copy_(gradient)
