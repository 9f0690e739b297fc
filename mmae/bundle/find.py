"""Find the model that a job names: a bundle, or a run by name, MLflow run id or folder."""

from __future__ import annotations

from pathlib import Path

from mmae.bundle.bundle import Bundle
from mmae.bundle.files import CONFIG, WEIGHTS
from mmae.bundle.load import load_bundle
from mmae.bundle.write import bundle_of_checkpoint
from mmae.inference.find_run import find_run


def find_bundle(model: str, home: Path, uri: str, device: str = "cpu") -> Bundle:
    """The bundle in a folder, or the model of a run as a bundle.

    Args:
        model: folder of a bundle, name of a run, MLflow run id, or folder of a run or checkpoint.
        home: folder of runs and studies.
        uri: MLflow tracking URI.

    Raises:
        InputError: there is no such bundle or run, or it is damaged.
    """
    if is_bundle(Path(model).expanduser()):
        return load_bundle(model, device)
    return bundle_of_checkpoint(find_run(model, home, uri).checkpoint, device)


def is_bundle(folder: Path) -> bool:
    """Whether a folder has the files of a bundle."""
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()
