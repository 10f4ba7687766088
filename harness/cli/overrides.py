"""KEY=VALUE on the command line, onto a config."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from harness.config import TrainConfig
from harness.errors import ConfigError, nearest

_TAGGED = ("optimizer", "schedule")


def apply(config: TrainConfig, assignments: list[str]) -> TrainConfig:
    """A config with some keys replaced: `batch_size=64 model.hidden_width=300 schedule=linear`.

    A schedule or optimiser named alone comes with its defaults; a new budget
    replaces the old one.

    Raises:
        ConfigError: not KEY=VALUE, an unknown key, or a value out of range.
    """
    data = config.model_dump(mode="json")
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise ConfigError(f"a setting must be KEY=VALUE, as in batch_size=64; got {assignment!r}. Write it so.")
        _set(data, key.split("."), _value(text))
    return TrainConfig.parse(data)


def _set(data: dict[str, Any], path: list[str], value: Any) -> None:
    if path[0] in _TAGGED and path[1:] in ([], ["kind"]) and isinstance(value, str):
        path, value = path[:1], {"kind": value}
    if path[0] == "budget" and len(path) == 2:
        data["budget"] = {}
    if path[0] not in data:
        key, known = ".".join(path), list(_keys(data))
        inside = [name for name in known if name.endswith(f".{key}")]
        near = f" Did you mean {inside[0]!r}?" if inside else nearest(key, known)
        raise ConfigError(f"unknown config key {key!r}; known here: {', '.join(data)}.{near}")
    place = data
    for part in path[:-1]:
        deeper = place.setdefault(part, {})
        if not isinstance(deeper, dict):
            raise ConfigError(f"config key {'.'.join(path)!r} goes deeper than {part!r} does. Leave the rest out.")
        place = deeper
    place[path[-1]] = value


def _keys(data: dict[str, Any], before: str = "") -> Iterator[str]:
    """Every key of a config as it is written here, `model.hidden_width` among them."""
    for key, value in data.items():
        yield before + key
        if isinstance(value, dict):
            yield from _keys(value, f"{before}{key}.")


def _value(text: str) -> Any:
    try:
        return json.loads(text.replace("_", "") if text.replace("_", "").isdigit() else text)
    except json.JSONDecodeError:
        return text
