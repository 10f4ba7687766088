"""What several test files need: made-up corpora and tiny studies in a project of their own."""

from __future__ import annotations

import random
from pathlib import Path

from harness import paths

TINY = """
from harness import AdamW, Budget, Constant, Cosine, ModelConfig, Study, TrainConfig

def suggest(trial):
    {first}
    return TrainConfig(
        model=ModelConfig(
            embedding_size=trial.suggest_int("embedding_size", 2, {widest}),
            hidden_width=8,
            context_length=2,
        ),
        optimizer=AdamW(learning_rate=trial.suggest_float("learning_rate", 1e-3, 1e-1, log=True)),
        schedule=Cosine() if trial.suggest_categorical("schedule", ["constant", "cosine"]) == "cosine" else Constant(),
        batch_size=32,
        budget=Budget({budget}),
        evaluations={evaluations},
    )

STUDY = Study(
    name="{name}", suggest=suggest, trials={trials}, minutes=2, finalists={finalists}, seeds=2, reference={reference}
)
"""


def write_items(path: Path, count: int = 300, seed: int = 1) -> Path:
    """A corpus of made-up pronounceable items."""
    draw = random.Random(seed)
    syllables = [c + v for c in "bdklmnrst" for v in "aeiou"]
    path.write_text("\n".join("".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(count)))
    return path


def write_study(
    name: str = "tiny",
    *,
    trials: int = 4,
    budget: str = "steps=40",
    evaluations: int = 4,
    widest: int = 6,
    finalists: int = 0,
    reference: bool = False,
    first: str = "pass",
) -> Path:
    """A study file in the project's studies folder; `first` is the first line of its suggest()."""
    folder = paths.studies_folder()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.py"
    path.write_text(
        TINY.format(
            name=name,
            trials=trials,
            budget=budget,
            evaluations=evaluations,
            widest=widest,
            finalists=finalists,
            reference=reference,
            first=first,
        )
    )
    return path
