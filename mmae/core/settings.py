"""Settings: checked dataclasses to and from plain values and YAML."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from mmae.core.errors import InputError

Config = TypeVar("Config")


@cache
def _adapter(kind: type) -> TypeAdapter:
    return TypeAdapter(kind)


@cache
def _strict(kind: type) -> type[BaseModel]:
    """A model with the dataclass as its only field: plain dataclasses take `extra="forbid"` from the model around them."""
    return create_model(f"Strict{kind.__name__}", value=(kind, ...), __config__=ConfigDict(extra="forbid"))


def to_dict(config: Any) -> dict[str, Any]:
    """Plain values (lists for tuples), as they stand in YAML and JSON."""
    return _adapter(type(config)).dump_python(config, mode="json")


def from_dict(values: dict[str, Any], kind: type[Config], where: str = "configuration") -> Config:
    """A checked configuration of the given dataclass.

    Raises:
        InputError: naming every unknown or ill-typed field.
    """
    try:
        return _strict(kind).model_validate({"value": values}).value  # type: ignore[attr-defined]
    except ValidationError as error:
        faults = []
        for e in error.errors():
            field = ".".join(str(part) for part in e["loc"][1:])  # without the wrapper's "value"
            message = "unknown field" if e["type"] == "unexpected_keyword_argument" else e["msg"]
            faults.append(f"{field}: {message}" if field else message)
        raise InputError(f"{where}: " + "; ".join(faults)) from error


def to_yaml(config: Any) -> str:
    return yaml.safe_dump(to_dict(config), sort_keys=False)


def from_yaml(path: Path, kind: type[Config]) -> Config:
    """Read a configuration file.

    Raises:
        InputError: the file is missing, is not YAML, or has a wrong field.
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
    """The configuration as dotted names, for MLflow parameters and for comparison."""
    return flatten(to_dict(config))


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested plain values under dotted names."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        result |= flatten(value, f"{name}.") if isinstance(value, dict) and value else {name: value}
    return result


def changed_fields(before: dict[str, Any], now: dict[str, Any], may_change: tuple[str, ...] = ()) -> list[str]:
    """The differences between two flat configurations, as texts: "optim.steps was 16, is 32".

    Args:
        may_change: names, or first parts of names, of fields that are allowed to differ.
    """
    return [
        f"{key} was {before.get(key)}, is {now.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and not key.startswith(may_change)
    ]


def require_unchanged(saved: Path, config: Any, what: str, may_change: tuple[str, ...] = ()) -> None:
    """Refuse to continue something in a folder that was begun with another configuration.

    Args:
        saved: the YAML file in which the first configuration was kept; nothing is checked if it does not exist.
        what: names the run, study or search in the message.
        may_change: as in `changed_fields`.

    Raises:
        InputError: naming every field that differs.
    """
    if not saved.exists():
        return
    changed = changed_fields(flat(from_yaml(saved, type(config))), flat(config), may_change)
    if changed:
        raise InputError(
            f"{what} was begun with another configuration: {'; '.join(changed)}. "
            f"Choose another --name, or continue it with --config {saved}."
        )
