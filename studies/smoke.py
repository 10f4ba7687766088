"""A tiny search that runs every step in about a minute. It never trains the reference itself."""

import optuna

from harness import AdamW, Budget, Cosine, ModelConfig, Study, TrainConfig


def suggest(trial: optuna.Trial) -> TrainConfig:
    return TrainConfig(
        model=ModelConfig(
            embedding_size=trial.suggest_int("embedding_size", 4, 16, log=True),
            hidden_width=trial.suggest_int("hidden_width", 32, 128, log=True),
            context_length=trial.suggest_int("context_length", 2, 6),
        ),
        optimizer=AdamW(learning_rate=trial.suggest_float("learning_rate", 1e-3, 3e-2, log=True)),
        schedule=Cosine(),
        batch_size=trial.suggest_categorical("batch_size", [256, 1024]),
        budget=Budget(examples=400_000),
        evaluations=10,
    )


STUDY = Study(name="smoke", suggest=suggest, trials=8, minutes=1.5, finalists=2, seeds=2, reference=False)
