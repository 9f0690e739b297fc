"""The kinds of measurements a galaxy may have: one file each, and no list of them anywhere else."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import field, make_dataclass

from mmae.model.modality import Modality

MODALITIES: dict[str, type[Modality]] = {
    kind.name: kind
    for kind in (importlib.import_module(f"{__name__}.{file.name}").MODALITY for file in pkgutil.iter_modules(__path__))
}

ModalitiesConfig = make_dataclass(
    "ModalitiesConfig",
    [(name, kind.Config, field(default_factory=kind.Config)) for name, kind in MODALITIES.items()],
    frozen=True,
    namespace={
        "__module__": __name__,  # where pickle looks for it
        "__doc__": "Which modalities a model reads and reconstructs, and how.",
    },
)
