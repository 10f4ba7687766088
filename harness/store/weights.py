"""Converts trained models to bytes (safetensors with the config inside) and back, and saves and loads folders."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.torch import load, save
from torch import Tensor

from harness import paths
from harness.config import TrainConfig
from harness.corpus import Corpus
from harness.errors import ModelChanged, StorageError, first_line, nearest
from harness.files import write_atomically
from harness.model import (
    Autograd,
    Build,
    CharMLP,
    KneserNey,
    Model,
    Predictor,
    fixed_contexts,
    fresh_model,
    load_tensors,
    predictions_of,
    same_values,
)
from harness.train import Mixed, sample, stream

_HOLDS = "parameters and persistent buffers"
"""What weights with this among their facts hold. Those stored before hold only parameters."""
_COUNTED = "counted.safetensors"
_SHOWN = 5
"""Folders that an error names."""


def pack(model: Predictor, facts: dict[str, Any]) -> bytes:
    """One safetensors file: the model's named tensors, and `facts` as JSON in its metadata.

    A trained model's facts also get some of its predictions, by which `rebuilt` recognises it.
    """
    if "config" in facts:
        length = facts["config"]["model"]["context_length"]
        facts = facts | {"predictions": predictions_of(model, len(facts["vocabulary"]), length)}
    return save(_copies(model.tensors()), {"facts": json.dumps(facts, allow_nan=False)})


def facts_of(
    config: TrainConfig, corpus: Corpus, train_nats: float, dev_nats: float, mixed: Mixed | None = None
) -> dict[str, Any]:
    """What is stored with a model's weights; the content of `config.json` in a folder."""
    return {
        "config": config.model_dump(mode="json"),
        "vocabulary": list(corpus.vocabulary),
        "corpus": corpus.label,
        "fingerprint": corpus.fingerprint,
        "train_nats": train_nats,
        "dev_nats": dev_nats,
        "mixed": None if mixed is None else asdict(mixed),
        "holds": _HOLDS,
    }


def unpack(content: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts of packed bytes.

    Raises:
        StorageError: the bytes are damaged.
    """
    try:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        facts: dict[str, Any] = json.loads(header["__metadata__"]["facts"])
        return load(content), facts
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise StorageError(
            f"stored weights must be a complete safetensors file; these are damaged ({first_line(error)}). "
            "Restore results/artifacts from a backup, or start the study again under another NAME."
        ) from None


def restore(content: bytes, build: Build = CharMLP.build) -> tuple[Model, dict[str, Any]]:
    """The packed model and its facts.

    Raises:
        StorageError: the bytes are damaged.
        ModelChanged: `build` now makes another model.
    """
    tensors, facts = unpack(content)
    return rebuilt(tensors, facts, build), facts


def rebuilt(tensors: dict[str, Tensor], facts: dict[str, Any], build: Build = CharMLP.build) -> Model:
    """A model with the given weights.

    Raises:
        ModelChanged: `build` fails for the stored config, makes other tensors, or its model predicts otherwise; or
            the weights were stored without the running statistics that belong to them.
    """
    config = TrainConfig.parse(facts["config"])
    try:
        model = fresh_model(build, config, len(facts["vocabulary"]), stream(0, "init"))
        if "holds" not in facts and isinstance(model, Autograd):
            tensors = tensors | _constants(model, tensors, facts)
    except ModelChanged:
        raise
    except Exception as error:  # from the user's code
        raise _changed(f"build fails with {type(error).__name__}: {first_line(error).rstrip('.')}") from None
    try:
        load_tensors(model, tensors)
    except ValueError as error:
        raise _changed(f"it makes other tensors now ({first_line(error)})") from None
    if "predictions" in facts:  # versions up to 0.3.0 stored none
        now = predictions_of(model, len(facts["vocabulary"]), config.model.context_length)
        if not same_values(facts["predictions"], now):
            raise _changed("its model predicts otherwise with the same weights")
    return model


def _constants(model: Autograd, tensors: dict[str, Tensor], facts: dict[str, Any]) -> dict[str, Tensor]:
    """The buffers of a fresh model that were not stored, if training leaves them as they are.

    Raises:
        ModelChanged: training changes them, so that their trained values are lost.
    """
    made = {name: buffer.clone() for name, buffer in model.buffers().items() if name not in tensors}
    if not made:
        return {}
    contexts = fixed_contexts(len(facts["vocabulary"]), facts["config"]["model"]["context_length"])
    with torch.random.fork_rng(devices=[]):
        model.loss_and_gradient(contexts, contexts[:, -1], generator=stream(0, "batches"))
    trained = model.buffers()
    lost = [name for name, buffer in made.items() if not torch.equal(buffer, trained[name])]
    if lost:
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        raise ModelChanged(
            f"stored weights must hold the running statistics of their model; an earlier version of harness wrote "
            f"these, and it did not store {', '.join(lost[:3])}{more}. Train the model again, under another NAME if "
            "it is a study's."
        )
    return made


def _copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU, because tensors of one file may not share memory."""
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }


def _changed(reason: str) -> ModelChanged:
    return ModelChanged(
        f"stored weights must fit the model that build makes; {reason}. "
        "Restore the old build, or pass the build that made them."
    )


def unpack_arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """Named arrays of an artifact that holds losses of items.

    Raises:
        StorageError: the bytes are damaged.
    """
    try:
        return load_arrays(content)
    except (ValueError, SafetensorError) as error:
        raise StorageError(
            f"stored losses must be a complete safetensors file; these are damaged ({first_line(error)}). "
            "Restore results/artifacts from a backup, or run make study again."
        ) from None


def draw(model: Predictor, facts: dict[str, Any], count: int, seed: int) -> list[str]:
    """New items from a model. The same weights and seed give the same items."""
    length = facts["config"]["model"]["context_length"]
    return sample(model, facts["vocabulary"], length, count=count, generator=stream(seed, "sample"))


def save_folder(
    folder: Path, tensors: dict[str, Tensor], facts: dict[str, Any], counted: KneserNey | None = None
) -> None:
    """Write `model.safetensors` and `config.json`, as `load_folder` reads them.

    Args:
        counted: the n-gram that the model is mixed with, for `counted.safetensors`, as `load_counted` reads it.
    """
    write_atomically(folder / "model.safetensors", save(_copies(tensors)))
    if counted is not None:
        write_atomically(folder / _COUNTED, save(_copies(counted.tensors())))
    text = json.dumps(facts, indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(folder / "config.json", text + "\n")


def load_folder(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts of a folder with `model.safetensors` and `config.json`.

    Raises:
        StorageError: either is missing or unreadable. The line names folders that have both.
    """
    try:
        facts: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return load((folder / "model.safetensors").read_bytes()), facts
    except (OSError, ValueError, SafetensorError) as error:
        raise StorageError(
            f"a saved model must be a folder with model.safetensors and config.json; {folder}: {first_line(error)}."
            f"{known_folders(folder)} Name another folder."
        ) from None


def load_counted(folder: Path, vocabulary_size: int) -> KneserNey | None:
    """The counted n-gram that was saved beside a model; None if there is none.

    Raises:
        StorageError: it is unreadable.
    """
    try:
        return KneserNey.from_tensors(load((folder / _COUNTED).read_bytes()), vocabulary_size)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise StorageError(
            f"a saved n-gram must be a complete safetensors file; {folder / _COUNTED}: {first_line(error)}. Write the "
            "folder again with harness train --out or make report."
        ) from None


def known_folders(given: Path) -> str:
    """` There are: results/x/best.`: folders with a saved model, of reports and near a path, and the most similar."""
    near = {folder for place in (given, given.parent, Path()) for folder in (place, *place.glob("*"))}
    places = near | set(paths.results_folder().glob("*/best"))
    found = sorted({_shown(place) for place in places if _has_model(place)})
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f" There are: {', '.join(found[:_SHOWN]) or 'none'}{more}.{nearest(str(given), found)}"


def _has_model(folder: Path) -> bool:
    try:
        return all((folder / name).is_file() for name in ("model.safetensors", "config.json"))
    except OSError:  # of somebody else
        return False


def _shown(folder: Path) -> str:
    """The path from the current folder, if it is inside."""
    whole = folder.resolve()
    return str(whole.relative_to(Path.cwd())) if whole.is_relative_to(Path.cwd()) else str(whole)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
