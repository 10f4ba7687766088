"""Facts of the lecture: its last recipe, the figures it reports, and the fingerprints of its corpus.

The lecture is "Building makemore Part 2: MLP" by Andrej Karpathy (2022).
"""

from __future__ import annotations

from harness.config import SGD, Budget, ModelConfig, Step, TrainConfig

RECIPE = "lecture's recipe"
"""The recipe's name in tables, plots and sentences."""
LECTURE_DEV = 2.17
"""The lecture's final dev loss in nats per symbol (a character), on its own split of names."""
LECTURE_SPLIT = (182_441, 22_902, 22_803)
"""Numbers of train, dev and test examples, as printed in the lecture's published notebook."""
LECTURE_FINGERPRINT = "14f825ec2506"
"""Fingerprint of the lecture's names, shuffled once."""
PUBLISHED_FINGERPRINT = "c5d3adf15b15"
"""Fingerprint of the lecture's names, split as in its published notebook."""


def lecture_recipe() -> TrainConfig:
    """The lecture's last hand-tuned run. Every study is compared with it."""
    return TrainConfig(
        model=ModelConfig(embedding_size=10, hidden_width=200, context_length=3, init="normal"),
        optimizer=SGD(learning_rate=0.1),
        schedule=Step(at=0.5, factor=0.1),
        batch_size=32,
        budget=Budget(steps=200_000),
        evaluations=20,
    )
