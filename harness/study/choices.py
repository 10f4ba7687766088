"""Choices of a categorical parameter: which of them a study can store and read back as they were."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from harness.errors import ConfigError


def check_choices(parameter: str, choices: Sequence[Any]) -> None:
    """Refuse choices that would be other values, or the same one, once they come back from the database.

    Raises:
        ConfigError: a choice is not made of None, bool, int, finite float, str, lists and dicts of these; or two
            choices are equal for Python though their types differ, as 1 and True are.
    """
    way_out = "Give choices that are plain text, and look up in suggest() what they stand for."
    for choice in choices:
        if not _comes_back(choice):
            raise ConfigError(
                "a choice must be None, a bool, a finite number, a text, or a list of these, which a database can "
                f"store; {parameter!r} has {choice!r}. {way_out}"
            )
    for one, other in combinations(choices, 2):
        if one == other and json.dumps(one) != json.dumps(other):
            raise ConfigError(
                f"choices must differ; {parameter!r} has {one!r} and {other!r}, which are equal. {way_out}"
            )


def _comes_back(choice: Any) -> bool:
    try:
        back = json.loads(json.dumps(choice, allow_nan=False))
    except (TypeError, ValueError):
        return False
    return bool(back == choice)
