"""A network mixed with a counted n-gram.

The network generalises to contexts that it has not seen, and the n-gram remembers those that it has. They err on
different examples, so the mixture's loss is usually lower than either's (Bengio et al. 2003, sections 3.2 and 4.2, who
mixed a network with an interpolated trigram).
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness.model.interface import Predictor


class Mixture:
    """P(next) = w * P_network(next) + (1 - w) * P_counted(next), with one weight w for all contexts.

    Args:
        weight: w, from 0 (the n-gram alone) to 1 (the network alone).

    Raises:
        ValueError: the weight is outside that range.
    """

    def __init__(self, network: Predictor, counted: Predictor, weight: float) -> None:
        if not 0 <= weight <= 1:
            raise ValueError(f"the weight of a mixture must be from 0 to 1; got {weight}")
        self.network, self.counted = network, counted
        self.weight = torch.tensor(weight, dtype=torch.float64)

    def log_probabilities(self, contexts: Tensor) -> Tensor:
        """(B, V) log probabilities in nats, float64, for (B, T) contexts that are long enough for both."""
        own = self.network.log_probabilities(contexts).double()
        return mixed_log(own, self.counted.log_probabilities(contexts.cpu()).to(own.device), self.weight.item())

    def tensors(self) -> dict[str, Tensor]:
        parts = {"network": self.network, "counted": self.counted}
        named = {f"{part}.{name}": t for part, model in parts.items() for name, t in model.tensors().items()}
        return named | {"weight": self.weight}


def mixed_log(network: Tensor, counted: Tensor, weight: float) -> Tensor:
    """log(w * exp(network) + (1 - w) * exp(counted)), without underflow. All of one shape, float64."""
    # The logarithm of a weight of 0 is minus infinity, which leaves exactly the other part.
    share = torch.tensor([weight, 1 - weight], dtype=torch.float64, device=network.device).log()
    return torch.logaddexp(share[0] + network, share[1] + counted)
