"""The one thing to turn next: per verdict, the first that is due of what the lecture argues for.

Changes of dev in nats per symbol on `names`, fingerprint 14f825ec2506 (dev n=22,655), from some fifty cheap
trials; what the advice is worth on fresh ones is measured by `harness bench advice`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from harness.config import InverseTime, TrainConfig
from harness.model import multiplier
from harness.train.moves import Move, moves

Verdict = Literal["diverged", "still improving", "overfitting", "underfitting", "well fitted"]

JITTER = 0.01
"""Nats by which dev jumps up between evaluations near the end of a run whose rate is too high for a lower plateau.

Of 6 underfitting trials at a constant rate, linear decay changed dev by -0.22 to -0.09 in the 3 that jumped
by more, and by -0.004 to +0.066 in the others.
"""
DECAYED = 0.1
"""Share of its rate to which a run that has decayed is down: the lecture's last rate is a tenth of its first."""
SHORT_CONTEXT = 3
"""Symbols up to which the context is the first suspect: the lecture's own length, one of the knobs it leaves to
its listeners. Two more symbols lowered dev in 9 of 9 trials, by 0.026 to 0.124."""
BOTTLENECK = 16
"""Numbers per symbol below which the embedding is the next one: the lecture goes from 2 to 10 for that. Doubling it
lowered dev in all 13 trials that did not jump about, by 0.042 at the median."""
HIGH_DROPOUT = 0.2
"""Share of silenced units from which they hold a network back that underfits: half of them lowered dev
in 7 of 8 trials, by 0.010 to 0.059."""
STRONG_WEIGHT_DECAY, STRONG_DROPOUT = 0.1, 0.3
"""What there has to be of either before the next is tried; stopping earlier is last.

In 6 overfitting trials weight decay of 0.1 lowered dev by 0.003 to 0.050, dropout of 0.15 by 0.001 to
0.042, less than weight decay in 5 of them, and half the steps in 3 only, by 0.040 at most.
"""


def advise(verdict: Verdict, config: TrainConfig, evidence: Mapping[str, float]) -> Move | None:
    """The next move for a run so judged; None where nothing is to be turned."""
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
    if jumps_about(config, evidence) or decays_at_once(config):
        yield "decay"
    yield "more steps"


def _against_overfitting(config: TrainConfig, _evidence: Mapping[str, float]) -> Iterator[str]:
    # At a constant rate decay lowered dev by 0.18 and 0.075 in two overfitting trials, more than anything else.
    if is_undecayed(config) or decays_at_once(config):
        yield "decay"
    if config.optimizer.weight_decay < STRONG_WEIGHT_DECAY:
        yield "more weight decay"
    if config.dropout < STRONG_DROPOUT:
        yield "more dropout"
    yield "fewer steps"


def _against_underfitting(config: TrainConfig, evidence: Mapping[str, float]) -> Iterator[str]:
    if jumps_about(config, evidence) or decays_at_once(config):
        yield "decay"
    if config.model.context_length <= SHORT_CONTEXT:
        yield "longer context"
    if config.model.embedding_size < BOTTLENECK:
        yield "larger embedding"
    if config.dropout >= HIGH_DROPOUT:
        yield "less dropout"
    yield "wider"
    yield "more steps"


def jumps_about(config: TrainConfig, evidence: Mapping[str, float]) -> bool:
    """Whether the run ends in jitter at a rate that was not decayed: a plateau that decay goes below."""
    return is_undecayed(config) and evidence["jitter"] > JITTER


def is_undecayed(config: TrainConfig) -> bool:
    return multiplier(config.schedule, 1.0) > DECAYED


def decays_at_once(config: TrainConfig) -> bool:
    """Whether most of the decay is over before the run has well begun: decay later.

    Going down linearly instead lowered dev in 4 of 4 trials with an inverse-time schedule, by 0.024 to 0.080.
    """
    return isinstance(config.schedule, InverseTime)
