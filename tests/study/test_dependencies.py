"""What a study depends on, as it is taken and compared."""

from __future__ import annotations

import pytest

from harness import CharMLP, ModelConfig, TrainConfig
from harness.study.dependencies import Dependencies, changed, dependencies_of


def taken(dropout: float) -> Dependencies:
    shape = ModelConfig(embedding_size=3, hidden_width=8, context_length=2)
    return dependencies_of([TrainConfig(model=shape, dropout=dropout)], CharMLP.build, 5)


def stored(now: Dependencies, **changes: object) -> Dependencies:
    """The same as an earlier process might have stored it."""
    (probe,) = now.probes
    return now.model_copy(update={"probes": (probe.model_copy(update=changes),)})


def test_the_same_build_depends_on_the_same():
    assert changed(taken(0.3), taken(0.3)) is None


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_another_training_loss_is_another_model(dropout: float):
    now = taken(dropout)
    assert changed(stored(now, training=(9.0, 9.0)), now) == "the training loss and gradient of build's model"


def test_the_masks_of_version_0_4_0_are_not_a_changed_model():
    now = taken(0.3)
    assert changed(stored(now, training=(9.0, 9.0), masks=1), now) is None
    assert (
        changed(stored(now, drawn=(-9.0,), masks=1), now) == "the predictions that build's model makes of its weights"
    )
