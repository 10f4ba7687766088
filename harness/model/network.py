"""The whole network on distinct contexts, forward and backward in closed form, with the knobs of its config.

D contexts, T context length, E embedding size, H hidden width, S width of the second hidden layer, V vocabulary size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.model.dropout import kept_units
from harness.model.hidden import ACTIVATIONS
from harness.model.layout import Dims, Weights
from harness.model.table import Embeddings, Table


class Network:
    """From the entries of contexts to their logits, and from the gradient of the logits to that of all weights."""

    def __init__(
        self,
        dims: Dims,
        weights: Weights,
        gradient: Weights | None = None,
        *,
        activation: str = "tanh",
        dropout: float = 0.0,
    ) -> None:
        """Use the memory of the weights of one model and, for training, of their gradient, without the R dimension."""
        self._dims, self._w, w = dims, weights, weights
        self._embeddings = Embeddings(w, gradient)
        self._first = Table(self._embeddings, w.w1, w.b1) if dims.H else None
        self._direct = Table(self._embeddings, w.direct, w.b2) if dims.direct else None
        self._activation = ACTIVATIONS[activation](dropout, w.embedding)
        self._layers: list[tuple[Tensor, Any]] = []
        """What the backward pass needs of each hidden layer. It removes what it has used."""
        if gradient is not None:
            self._d = d = gradient
            for table, d_w, d_b in ((self._first, d.w1, d.b1), (self._direct, d.direct, d.b2)):
                if table is not None:
                    table.for_training(d_w, d_b)

    def logits(self, entries: Tensor, starts: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(V, D) logits for contexts given by their entries (see `entries_of`).

        (V, D) and not (D, V), because a product with 27 rows is twice as fast as one with 27 columns.

        Args:
            generator: draws the dropout masks, one for each hidden layer; not needed without dropout.
        """
        w, scale, times = self._w, self._activation.scale, self._activation.times
        self._embeddings.update()
        below_VD = w.b2 if self._direct is None else self._direct.sums(entries, starts).t()
        if self._first is None:
            return below_VD.contiguous()
        units = self._units(self._first.sums(entries, starts, times), generator)
        if self._dims.S:
            units = self._units(torch.addmm(w.b_second, units, w.w_second, beta=times, alpha=times * scale), generator)
        return torch.addmm(below_VD, w.w2, units.t(), alpha=scale)

    def _units(self, inputs: Tensor, generator: torch.Generator | None) -> Tensor:
        """A hidden layer's units, as `Activation` gives them."""
        kept = None
        if self._activation.dropout:
            assert generator is not None  # as `logits` requires
            kept = kept_units(self._activation.dropout, inputs, generator)
        units, saved = self._activation.forward_(inputs, kept)
        self._layers.append((units, saved))
        return units

    def backward(self, d_logits_VD: Tensor, contexts: Tensor, starts: Tensor) -> None:
        """Write the gradient of all weights for the contexts of the last `logits`.

        Args:
            contexts: the context of every entry, ordered by table row (see `Table.backward`).
            starts: (V * T,) where each row's contexts begin.
        """
        d_factors = []
        if self._direct is None:
            torch.sum(d_logits_VD, 1, keepdim=True, out=self._d.b2)
        else:
            d_factors.append(self._direct.backward(d_logits_VD.t().contiguous(), contexts, starts))
        if self._first is not None:
            d_z_DH = self._through_hidden_layers(d_logits_VD)
            d_factors.append(self._first.backward(d_z_DH, contexts, starts))
        self._embeddings.backward(d_factors[0] if len(d_factors) == 1 else d_factors[0].add_(d_factors[1]))

    def _through_hidden_layers(self, d_logits_VD: Tensor) -> Tensor:
        """(D, H) the gradient of the first hidden layer's inputs."""
        w, d, activation = self._w, self._d, self._activation
        units, saved = self._layers.pop()
        d.w2.addmm_(d_logits_VD, units, beta=0, alpha=activation.scale)
        d_units = torch.empty_like(units).addmm_(d_logits_VD.t(), w.w2, beta=0, alpha=activation.slope)
        d_z = activation.backward_(d_units, saved)
        if not self._dims.S:
            return d_z
        units, saved = self._layers.pop()
        torch.sum(d_z, 0, keepdim=True, out=d.b_second)
        d.w_second.addmm_(units.t(), d_z, beta=0, alpha=activation.scale)
        d_units_DH = torch.empty_like(units).addmm_(d_z, w.w_second.t(), beta=0, alpha=activation.slope)
        return activation.backward_(d_units_DH, saved)
