"""The one thing to turn next: for each verdict its moves in the order the lecture argues them, the first that is due."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from harness.config import TrainConfig
from harness.model import multiplier
from harness.train.moves import Move, moves

Verdict = Literal["diverged", "still improving", "overfitting", "underfitting", "well fitted"]

DECAYED = 0.1
"""Share of its rate at which a run has ended its decay: the lecture's own last rate is a tenth of its first."""
BOTTLENECK = 10
"""Numbers per symbol below which the lecture takes the embedding for the bottleneck; it goes from 2 to 10 for that."""


def advise(verdict: Verdict, config: TrainConfig, evidence: Mapping[str, float]) -> Move | None:
    """The next move for a run so judged; None where nothing is to be turned, or nothing can be."""
    possible = moves(config)
    wanted = {
        "diverged": _against_divergence,
        "still improving": _for_the_end,
        "overfitting": _against_overfitting,
        "underfitting": _against_underfitting,
        "well fitted": lambda *_: iter(()),
    }[verdict]
    return next((possible[name] for name in wanted(config, evidence) if name in possible), None)


def _against_divergence(_config: TrainConfig, _evidence: Mapping[str, float]) -> Iterator[str]:
    yield "far lower rate"


def _for_the_end(config: TrainConfig, evidence: Mapping[str, float]) -> Iterator[str]:
    if jumps_about(config, evidence):
        yield "decay"
    yield "more steps"


def _against_overfitting(config: TrainConfig, evidence: Mapping[str, float]) -> Iterator[str]:
    if evidence["rise_from_minimum"] > evidence["jitter"]:
        yield "fewer steps"
    yield "more dropout"


def _against_underfitting(config: TrainConfig, evidence: Mapping[str, float]) -> Iterator[str]:
    if jumps_about(config, evidence):
        yield "decay"
    if config.dropout >= 0.1:
        yield "less dropout"
    if config.model.embedding_size < BOTTLENECK:
        yield "larger embedding"
    if config.model.context_length < 5:
        yield "longer context"
    yield "wider"
    yield "more steps"


def jumps_about(config: TrainConfig, evidence: Mapping[str, float]) -> bool:
    """Whether the end of the run is jitter at a rate that was never decayed: a plateau that decay goes below."""
    return multiplier(config.schedule, 1.0) > DECAYED and evidence["jitter"] > 0
