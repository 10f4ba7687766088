"""`Autograd`: any `torch.nn.Module` as a model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.errors import ConfigError

_LOOKS = 20
"""Forward passes in which a parameter must be used once; some modules skip layers at random."""


class Autograd:
    """Any module from (B, T) integers to (B, V) logits, trained through autograd.

    Parameters with `requires_grad` are trained: they become views of one flat tensor. Frozen ones are not part of it,
    so that neither the optimiser nor its weight decay changes them. Both are saved, and so are persistent buffers,
    such as the running statistics of BatchNorm. Everything else about the module is made again by `build`.
    Randomness inside the module (nn.Dropout) uses torch's global generator, which is seeded in each step from the
    run's own generator.

    Raises:
        ConfigError: the module has nothing to train, or its trained parameters are of several types.
    """

    def __init__(self, module: nn.Module) -> None:
        if not isinstance(module, nn.Module):
            raise ConfigError(f"Autograd must wrap a torch.nn.Module; got {type(module).__name__}. Pass it a module.")
        self.module = module
        self._is_checked = False
        self._flatten()

    def to(self, device: str) -> None:
        self.module.to(device)
        self._flatten()

    def _flatten(self) -> None:
        self._trained = {name: p for name, p in self.module.named_parameters() if p.requires_grad}
        _check_trainable(self.module, self._trained)
        self.parameters = torch.cat([p.detach().reshape(-1) for p in self._trained.values()])
        self.gradient = torch.zeros_like(self.parameters)
        start = 0
        for parameter in self._trained.values():
            part = slice(start, start + parameter.numel())
            parameter.data = self.parameters[part].view_as(parameter)
            parameter.grad = self.gradient[part].view_as(parameter)
            start = part.stop
        for buffer in self.module.buffers():
            buffer.data = buffer.data.contiguous()  # saved values cannot be copied into an expanded tensor

    def loss_and_gradient(self, contexts: Tensor, targets: Tensor, *, generator: torch.Generator) -> Tensor:
        self.module.train()
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        self.gradient.zero_()
        loss = nn.functional.cross_entropy(self.logits(contexts), targets)
        if not self._is_checked:
            self._refuse_untrained(loss, contexts, targets)
            self._is_checked = True
        loss.backward()  # type: ignore[no-untyped-call]  # torch ships it without a signature
        return loss.detach()

    @torch.no_grad()
    def log_probabilities(self, contexts: Tensor) -> Tensor:
        self.module.eval()
        return torch.log_softmax(self.logits(contexts), dim=1)

    def logits(self, contexts: Tensor) -> Tensor:
        """(B, V) what the module returns for (B, T) contexts.

        Raises:
            ConfigError: it returns anything but a row of logits per context.
        """
        found = self.module(contexts)
        if not isinstance(found, Tensor):
            raise ConfigError(
                f"a module must return a tensor of logits (B, V); {_name(self.module)} returned "
                f"{type(found).__name__}. Return the logits alone."
            )
        if found.dim() != 2 or len(found) != len(contexts):
            last = " of the last position only, as in logits[:, -1]" if found.dim() == 3 else ""
            raise ConfigError(
                f"a module must return logits of shape (B, V), one row per context; for contexts of shape (B, T) = "
                f"{tuple(contexts.shape)}, {_name(self.module)} returned {tuple(found.shape)}. Return those{last}."
            )
        return found

    def tensors(self) -> dict[str, Tensor]:
        """All parameters and persistent buffers. torch lets no two of them have the same name."""
        return {name: p.data for name, p in self.module.named_parameters()} | self.buffers()

    def buffers(self) -> dict[str, Tensor]:
        """Persistent buffers by name, read from the module each time, because it may replace their tensors."""
        return {
            f"{path}.{name}" if path else name: buffer
            for path, part in self.module.named_modules()
            for name, buffer in part.named_buffers(recurse=False, remove_duplicate=False)
            if name not in part._non_persistent_buffers_set
        }

    def _refuse_untrained(self, loss: Tensor, contexts: Tensor, targets: Tensor) -> None:
        """A parameter without a gradient would be counted as trained, and shrunk by weight decay."""
        if [name for name, p in self.module.named_parameters() if p.requires_grad] != list(self._trained):
            raise ConfigError(
                "parameters must be frozen before Autograd wraps the module; requires_grad changed after that. "
                "Call requires_grad_() first."
            )
        unused = dict(self._trained)
        for _ in range(_LOOKS):
            if loss.requires_grad:
                found = torch.autograd.grad(loss, list(unused.values()), retain_graph=True, allow_unused=True)
                unused = {name: unused[name] for name, d in zip(unused, found, strict=True) if d is None}
            if not unused:
                return
            loss = nn.functional.cross_entropy(self.logits(contexts), targets)
        raise ConfigError(
            f"every trained parameter must take part in the loss; {', '.join(unused)} of {_name(self.module)} "
            "had no gradient. Remove what is not used, or freeze it with requires_grad_(False)."
        )


def _check_trainable(module: nn.Module, trained: dict[str, nn.Parameter]) -> None:
    if not trained:
        frozen = len(list(module.parameters()))
        raise ConfigError(
            f"a module must have parameters to train; got {f'{frozen}, all of them frozen' if frozen else 'none'}. "
            "Use requires_grad_() on those to train."
        )
    types = sorted({str(p.dtype).removeprefix("torch.") for p in trained.values()})
    if len(types) > 1:
        raise ConfigError(
            f"the trained parameters of a module must have one type; got {', '.join(types)}. Convert it with float()."
        )


def _name(module: nn.Module) -> str:
    return type(module).__name__
