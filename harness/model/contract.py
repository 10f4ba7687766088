import torch
from torch import Tensor


def fixed_contexts(vocabulary_size: int, context_length: int) -> Tensor:
    g = torch.Generator().manual_seed(0)
    return torch.randint(vocabulary_size, (32, context_length), generator=g)


def check_model(model, config, vocabulary_size: int) -> Tensor:
    return model.log_probabilities(fixed_contexts(vocabulary_size, config.model.context_length))
