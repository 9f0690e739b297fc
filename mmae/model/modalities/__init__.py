"""The modalities of a galaxy: one file each in this folder, imported automatically.

Files outside the package are added with the environment variable MMAE_MODALITIES: their paths, separated as in PATH.
"""

from __future__ import annotations

import importlib.util
import os
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

from mmae.model.modality import Modality

VARIABLE = "MMAE_MODALITIES"


def _load(path: str) -> ModuleType:
    """Import a file as a module of this package, so that its classes have the same qualified name in all processes."""
    name = f"{__name__}.{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, Path(path).expanduser())
    if spec is None or spec.loader is None or not Path(path).expanduser().is_file():
        raise ImportError(f"{VARIABLE}: {path} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_files = [importlib.import_module(f"{__name__}.{file.name}") for file in pkgutil.iter_modules(__path__)]
_files += [_load(path) for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path]
MODALITIES: dict[str, type[Modality]] = {file.MODALITY.name: file.MODALITY for file in _files}
