"""Beat the lecture's dev loss of 2.17: search its MLP's embedding, width, context, batch size and schedule together."""

import optuna

from harness import (
    AdamW,
    Budget,
    Constant,
    Cosine,
    InverseTime,
    Linear,
    ModelConfig,
    OneCycle,
    Schedule,
    Step,
    Study,
    TrainConfig,
)


def suggest(trial: optuna.Trial) -> TrainConfig:
    return TrainConfig(
        model=ModelConfig(
            embedding_size=trial.suggest_int("embedding_size", 4, 64, log=True),
            hidden_width=trial.suggest_int("hidden_width", 64, 768, log=True),
            context_length=trial.suggest_int("context_length", 3, 12),
        ),
        optimizer=AdamW(
            learning_rate=trial.suggest_float("learning_rate", 1e-3, 5e-2, log=True),
            weight_decay=trial.suggest_float("weight_decay", 1e-4, 0.3, log=True),
        ),
        schedule=suggest_schedule(trial),
        batch_size=trial.suggest_categorical("batch_size", [256, 512, 1024, 2048]),
        dropout=trial.suggest_float("dropout", 0.0, 0.5),
        budget=Budget(examples=2_500_000),
        evaluations=10,
    )


def suggest_schedule(trial: optuna.Trial) -> Schedule:
    """Each schedule draws only its own parameters, so the space is conditional."""
    match trial.suggest_categorical("schedule", ["constant", "step", "linear", "cosine", "one_cycle", "inverse_time"]):
        case "step":
            return Step(at=trial.suggest_float("step_at", 0.4, 0.9))
        case "linear":
            return Linear(warmup=trial.suggest_float("warmup", 0.0, 0.2))
        case "cosine":
            return Cosine(warmup=trial.suggest_float("warmup", 0.0, 0.2))
        case "one_cycle":
            return OneCycle(peak_at=trial.suggest_float("peak_at", 0.1, 0.5))
        case "inverse_time":
            return InverseTime(decay=trial.suggest_float("decay", 1.0, 100.0, log=True))
        case _:
            return Constant()


STUDY = Study(name="beat_lecture", suggest=suggest, trials=100, minutes=9)
