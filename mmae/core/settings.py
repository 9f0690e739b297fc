"""Conversion of configuration dataclasses to and from plain values and YAML, with validation."""

from __future__ import annotations

import shlex
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from mmae.core.errors import InputError

Config = TypeVar("Config")


@cache
def _adapter(kind: type) -> TypeAdapter:
    return TypeAdapter(kind)


@cache
def _strict(kind: type) -> type[BaseModel]:
    """A pydantic model with the dataclass as its only field: nested dataclasses inherit its `extra="forbid"`."""
    return create_model(f"Strict{kind.__name__}", value=(kind, ...), __config__=ConfigDict(extra="forbid"))


def to_dict(config: Any) -> dict[str, Any]:
    """Plain values as in YAML and JSON (tuples become lists)."""
    kind: type = type(config)
    return _adapter(kind).dump_python(config, mode="json")


def from_dict(values: dict[str, Any], kind: type[Config], where: str = "configuration") -> Config:
    """A validated instance of the given dataclass.

    Args:
        where: source of the values, the start of the error message.

    Raises:
        InputError: unknown fields or invalid values; the message lists all of them.
    """
    try:
        return _strict(cast(type, kind)).model_validate({"value": values}).value  # type: ignore[attr-defined]
    except ValidationError as error:
        faults = []
        for e in error.errors():
            field = _field_name(e["loc"][1:], values)  # without the wrapper's "value"
            message = "unknown field" if e["type"] == "unexpected_keyword_argument" else e["msg"]
            faults.append(f"{field}: {message}" if field else message)
        raise InputError(f"{where}: " + "; ".join(faults)) from error


def _field_name(location: tuple[int | str, ...], values: Any) -> str:
    """The dotted name of a field; pydantic's location also contains the `kind` by which it chose from a union."""
    names, here = [], values
    for part in location:
        if isinstance(here, dict) and part not in here and part == here.get("kind"):
            continue
        names.append(str(part))
        here = here.get(part) if isinstance(here, dict) else None
    return ".".join(names)


def to_yaml(config: Any) -> str:
    return yaml.safe_dump(to_dict(config), sort_keys=False)


def from_yaml(path: Path, kind: type[Config]) -> Config:
    """Read a configuration file.

    Raises:
        InputError: the file is missing or not YAML, or a field is unknown or invalid.
    """
    try:
        values = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(f"{path}: cannot read the configuration ({error.strerror}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not YAML ({error}).") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a mapping of configuration fields.")
    return from_dict(values, kind, str(path))


def flat(config: Any) -> dict[str, Any]:
    """The configuration as a flat dictionary with dotted names, for MLflow parameters and comparisons."""
    return flatten(to_dict(config))


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested dictionary as a flat one with dotted names."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        result |= flatten(value, f"{name}.") if isinstance(value, dict) and value else {name: value}
    return result


def changed_fields(before: dict[str, Any], now: dict[str, Any], may_change: tuple[str, ...] = ()) -> list[str]:
    """The differences between two flat configurations as text: "optim.steps was 16, is 32".

    Args:
        may_change: names or name prefixes of fields that may differ.
    """
    return [
        f"{key} was {before.get(key)}, is {now.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and not key.startswith(may_change)
    ]


def require_unchanged(saved: Path, config: Any, what: str, may_change: tuple[str, ...] = ()) -> None:
    """Check that a run, study or search is continued with the configuration it was started with.

    Args:
        saved: YAML file with the first configuration; if it does not exist, nothing is checked.
        what: description of the run, study or search for the error message.
        may_change: as in `changed_fields`.

    Raises:
        InputError: the configurations differ; the message lists the fields.
    """
    if not saved.exists():
        return
    changed = changed_fields(flat(from_yaml(saved, type(config))), flat(config), may_change)
    if changed:
        raise InputError(
            f"{what} was started with a different configuration: {'; '.join(changed)}. "
            f"Choose another --name, or continue it with --config {shlex.quote(str(saved))}."
        )
