"""Reads stored documents, and upgrades those of version 0.2.0 to the current schema."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel

from harness.errors import StorageError
from harness.lecture import RECIPE

SCHEMA = 2
"""The number in every document written now. Version 0.2.0 wrote no number; that is schema 1."""
Document = TypeVar("Document", bound=BaseModel)


def read_document(kind: type[Document], text: str) -> Document:
    """A stored study or trial.

    Raises:
        StorageError: a later version wrote it.
    """
    stored = json.loads(text)
    schema = stored.get("schema_number", 1)
    if schema > SCHEMA:
        raise StorageError(
            f"a stored document must have schema {SCHEMA} or lower; this storage has one of schema {schema}. "
            "Use the version of harness that wrote it, or a later one."
        )
    return kind.model_validate(stored if schema == SCHEMA else upgraded(stored))


def upgraded(stored: Any) -> Any:
    """A document of schema 1, or a part of one, converted to schema 2. Also converts the body of a ledger entry.

    Schema 2 keeps a study's settings in one object, renames its `standing` to `ranking` and its `rounds` to
    `repeats`, and ends the name of every artifact id in `_artifact`.
    """
    if isinstance(stored, list):
        return [upgraded(part) for part in stored]
    if not isinstance(stored, dict):
        return stored
    names = {"standing": "ranking", "rounds": "repeats"}
    if "status" in stored:  # a trial, or one seed of a config
        names["weights"] = "weights_artifact"
    if "artifact" in stored:  # weights on a holdout's frozen list
        names["artifact"] = "weights_artifact"
    if isinstance(stored.get("items"), str) and ("finalists" in stored or "scores" in stored):
        names["items"] = "items_artifact"
    new = {names.get(name, name): value if name in _LEFT_ALONE else upgraded(value) for name, value in stored.items()}
    if "p_better" in stored:  # a finalist
        new["is_recipe"] = stored["name"] == RECIPE
    if "asked_sampler" in stored:  # a study
        new["settings"] = {name: new.pop(old) for old, name in _SETTINGS.items()} | {"corpus": stored["corpus"]["spec"]}
    return new


_LEFT_ALONE = ("params", "constants", "space", "config", "first", "p_better")
"""Fields whose inner keys are not names of ours."""
_SETTINGS = {
    "trials": "trials",
    "seed": "seed",
    "asked_finalists": "finalists",
    "asked_seeds": "seeds",
    "asked_sampler": "sampler",
    "asked_pruner": "pruner",
}
