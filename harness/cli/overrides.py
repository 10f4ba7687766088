"""KEY=VALUE assignments on the command line, applied to a config."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from harness.config import Config, TrainConfig
from harness.errors import ConfigError, nearest

_TAGGED = ("optimizer", "schedule")


def apply(config: TrainConfig, assignments: list[str]) -> TrainConfig:
    """A config with some keys replaced: `batch_size=64 model.hidden_width=300 schedule=linear`.

    A schedule or optimiser given by name alone gets its defaults. A new budget replaces the old one.

    Raises:
        ConfigError: an assignment is not KEY=VALUE, its key is unknown, or its value is out of range.
    """
    document = config.model_dump(mode="json")
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise ConfigError(f"a setting must be KEY=VALUE, as in batch_size=64; got {assignment!r}. Add the value.")
        path = key.split(".")
        if path[0] not in document:
            raise ConfigError(_unknown_key(config, key))
        _assign(document, path, _value(text))
    return TrainConfig.parse(document)


def _assign(document: dict[str, Any], path: list[str], value: Any) -> None:
    if path[0] in _TAGGED and path[1:] in ([], ["kind"]) and isinstance(value, str):
        path, value = path[:1], {"kind": value}
    if path[0] == "budget" and len(path) == 2:
        document["budget"] = {}
    section = document
    for part in path[:-1]:
        inner = section.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"config key {part!r} has no keys inside; got {'.'.join(path)!r}. Leave out the rest.")
        section = inner
    section[path[-1]] = value


def _unknown_key(config: TrainConfig, key: str) -> str:
    known = list(_keys(config))
    inside = [name for name in known if name.endswith(f".{key}")]
    near = f" Did you mean {inside[0]!r}?" if inside else nearest(key, known)
    return f"a config key must be one of {', '.join(TrainConfig.model_fields)}; got {key!r}.{near} Correct it."


def _keys(config: Config, prefix: str = "") -> Iterator[str]:
    """Every key of a config as it is written here, including nested ones such as `model.hidden_width`."""
    for name in type(config).model_fields:  # not of its JSON, which leaves out knobs that are off
        yield prefix + name
        value = getattr(config, name)
        if isinstance(value, Config):
            yield from _keys(value, f"{prefix}{name}.")
        elif isinstance(value, Mapping):
            yield from (f"{prefix}{name}.{setting}" for setting in value)


def _value(text: str) -> Any:
    try:
        return json.loads(text.replace("_", "") if text.replace("_", "").isdigit() else text)
    except json.JSONDecodeError:
        return text
