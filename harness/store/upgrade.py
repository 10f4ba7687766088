"""Reads stored documents, and upgrades those of earlier versions to the current schema."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel

from harness.errors import HarnessError, StorageError, first_line
from harness.lecture import RECIPE

SCHEMA = 4
"""The number in every document written now. Version 0.2.0 wrote no number; that is schema 1. Schemas 3 and 4 have
fields that the versions before them, 0.3.0 and 0.4.0, would drop."""
Document = TypeVar("Document", bound=BaseModel)


def read_document(kind: type[Document], text: str) -> Document:
    """A stored study or trial.

    Raises:
        StorageError: it is damaged, or a later version wrote it.
    """
    try:
        stored = json.loads(text)
    except ValueError as error:
        raise _damaged(kind, error) from None
    return read_body(kind, stored)


def read_body(kind: type[Document], stored: dict[str, Any]) -> Document:
    """A stored document that was parsed already, such as the body of a ledger's entry.

    Raises:
        StorageError: it is damaged, or a later version wrote it.
    """
    schema = stored.get("schema_number", 1)
    if schema > SCHEMA:
        raise StorageError(
            f"a stored document must have schema {SCHEMA} or lower; this storage has one of schema {schema}. "
            "Use the version of harness that wrote it, or a later one."
        )
    try:
        current = upgraded(stored) if schema == 1 else {key: stored[key] for key in stored if key != "schema_number"}
        return kind.model_validate(current)
    except (ValueError, HarnessError) as error:
        raise _damaged(kind, error) from None


def _damaged(kind: type[BaseModel], error: Exception) -> StorageError:
    return StorageError(
        f"a stored document must be complete; a {kind.__name__} in this storage is damaged ({first_line(error)}). "
        "Restore the database from a backup, or name another STORAGE."
    )


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
    if "resamples" in stored or "test_items" in stored:  # a ranking, or the scores of a holdout
        names["items"] = "items_artifact"
    new = {names.get(name, name): value if name in _LEFT_ALONE else upgraded(value) for name, value in stored.items()}
    if "p_better" in stored:  # a finalist
        new["is_recipe"] = stored["name"] == RECIPE
    if "asked_sampler" in stored:  # a study
        new["settings"] = {name: new.pop(old) for old, name in _SETTINGS.items()}
    return new


_LEFT_ALONE = ("params", "constants", "space", "config", "first", "p_better", "evidence", "versions")
"""Fields whose inner keys are not this project's names."""
_SETTINGS = {
    "trials": "trials",
    "seed": "seed",
    "asked_finalists": "finalists",
    "asked_seeds": "seeds",
    "asked_sampler": "sampler",
    "asked_pruner": "pruner",
}
