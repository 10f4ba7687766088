"""Documents as version 0.2.0 stored them, in the shape of today."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel

from harness.errors import StorageError
from harness.lecture import RECIPE

SCHEMA = 2
"""Of every document written now. Version 0.2.0 wrote none; that is schema 1."""
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
    """A document of schema 1, or a part of one, with the names of schema 2; the same for the body of a ledger entry.

    A study's `standing` is now its `ranking`, `rounds` are `repeats`, and ids of artifacts end in `_artifact`.
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
    new = {names.get(name, name): upgraded(value) for name, value in stored.items() if name not in _AS_IT_IS}
    if "p_better" in stored:  # a finalist
        new["is_recipe"] = stored["name"] == RECIPE
    return new | {name: stored[name] for name in _AS_IT_IS if name in stored}


_AS_IT_IS = ("params", "constants", "space", "config", "first", "p_better")
"""Their keys are the user's."""
