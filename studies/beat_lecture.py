"""Beat the lecture's dev loss of 2.17: search its MLP's sizes, batches, learning rate and regularisation together.

The measurements behind this space are in docs/ideas.md.
"""

import optuna

from harness import AdamW, Budget, Cosine, Linear, ModelConfig, Schedule, Study, TrainConfig


def suggest(trial: optuna.Trial) -> TrainConfig:
    return TrainConfig(
        model=ModelConfig(
            embedding_size=trial.suggest_int("embedding_size", 8, 64, log=True),
            hidden_width=trial.suggest_int("hidden_width", 128, 768, log=True),
            second_width=trial.suggest_categorical("second_width", [0, 256]),
            activation=trial.suggest_categorical("activation", ["tanh", "relu", "gelu"]),
            context_length=trial.suggest_int("context_length", 3, 10),
        ),
        optimizer=AdamW(
            learning_rate=trial.suggest_float("learning_rate", 2e-3, 3e-2, log=True),
            weight_decay=trial.suggest_float("weight_decay", 1e-2, 0.5, log=True),
        ),
        schedule=suggest_schedule(trial),
        batch_size=trial.suggest_categorical("batch_size", [512, 1024, 2048]),
        dropout=trial.suggest_float("dropout", 0.0, 0.4),
        budget=Budget(examples=2_500_000),
        evaluations=10,
    )


def suggest_schedule(trial: optuna.Trial) -> Schedule:
    warmup = trial.suggest_float("warmup", 0.0, 0.2)
    if trial.suggest_categorical("schedule", ["cosine", "linear"]) == "linear":
        return Linear(warmup=warmup)
    return Cosine(warmup=warmup)


STUDY = Study(name="beat_lecture", suggest=suggest, trials=100, minutes=9)
