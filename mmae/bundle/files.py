"""The files of a bundle, and what is in config.json.

    model.safetensors      weights for inference, with the recalibration of p(z)
    config.json            configuration of the model, band order, grids, units, normalisation constants, hashes
    README.md              model card
    training_rows.parquet  galaxies of the training, if known (mmae/survey/leaks.py)
    flags.npz              limits of the warnings in flags, if the run has them (mmae/inference/flags.py)

Imports torch, numpy and safetensors only, see mmae/bundle/load.py.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

from mmae.core.errors import InputError
from mmae.model.batch import InputSpec
from mmae.model.config import ModelConfig

WEIGHTS, CONFIG, CARD, ROWS = "model.safetensors", "config.json", "README.md", "training_rows.parquet"
BUNDLE = "bundle"  # the folder of a bundle in the folder of a run
FORMAT = "mmae-bundle-1"
COPY_AGAIN = "Copy or export the bundle again."
KINDS = {kind().kind: kind for kind in get_args(ModelConfig)}

Config = TypeVar("Config")


@dataclass(frozen=True)
class Description:
    """The contents of config.json.

    Attributes:
        version: of mmae that wrote the bundle.
        weights_sha256: of the bytes of model.safetensors.
        model: configuration of the model.
        spec: band order, grids, units and normalisation constants of the input.
        training: what the model was trained on, as plain values; may be empty.
        flags_sha256: of the bytes of flags.npz; None: the bundle has none, its flags have no warnings.
    """

    version: str
    weights_sha256: str
    model: ModelConfig
    spec: InputSpec
    training: dict[str, Any]
    flags_sha256: str | None = None

    def to_json(self) -> str:
        values = {
            "format": FORMAT,
            "version": self.version,
            "weights_sha256": self.weights_sha256,
            "flags_sha256": self.flags_sha256,
            "model": dataclasses.asdict(self.model),
            "input": dataclasses.asdict(self.spec),
            "training": self.training,
        }
        return json.dumps(values, indent=1, allow_nan=False) + "\n"


def read_description(folder: Path) -> Description:
    """Read config.json.

    Raises:
        InputError: the folder is not a bundle, or one of another format.
    """
    path = folder / CONFIG
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a bundle ({error}). Give a folder written by ray_jobs/export.py.") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise InputError(f"{path}: not a bundle of format {FORMAT}. Export the model again with this version of mmae.")
    try:
        kind = KINDS[values["model"]["kind"]]
        spec: dict[str, Any] = {name: tuple(x) if isinstance(x, list) else x for name, x in values["input"].items()}
        return Description(
            version=values["version"],
            weights_sha256=values["weights_sha256"],
            model=filled(kind(), values["model"]),
            spec=InputSpec(**spec),
            training=values["training"],
            flags_sha256=values.get("flags_sha256"),  # bundles of earlier versions have none
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: not a configuration of this version of mmae ({error}); the bundle was written by version "
            f"{values.get('version')}. Use that version, or export the model again."
        ) from error


def filled(default: Config, values: dict[str, Any]) -> Config:
    """A configuration dataclass with values from JSON; nested dataclasses and tuples as in `default`.

    Raises:
        TypeError: there is no such field.
        ValueError: the dataclass refuses a value.
    """
    changes: dict[str, Any] = {}
    for name, value in values.items():
        before = getattr(default, name, None)
        if dataclasses.is_dataclass(before):
            value = filled(before, value)
        changes[name] = tuple(value) if isinstance(value, list) else value
    return dataclasses.replace(default, **changes)  # type: ignore[type-var]


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
