"""The model of a prediction job: a bundle, or a run."""

from __future__ import annotations

from pathlib import Path

from mmae.bundle.bundle import Bundle
from mmae.bundle.files import CONFIG
from mmae.bundle.load import load_bundle
from mmae.bundle.write import bundle_of_checkpoint
from mmae.inference.find_run import find_run
from mmae.tracking.runs import tracking_uri


def find_model(model: str, home: Path) -> Path:
    """The folder of a bundle, or the checkpoint folder of a run.

    Raises:
        InputError: there is neither.
    """
    folder = Path(model).expanduser()
    if (folder / CONFIG).is_file():
        return folder.resolve()
    return find_run(model, home, tracking_uri(home)).checkpoint


def load_any(folder: Path, device: str = "cpu") -> Bundle:
    """The model of a bundle or of a checkpoint folder.

    Raises:
        InputError: the folder has none, or a damaged one.
    """
    if (folder / CONFIG).is_file():
        return load_bundle(folder, device)
    return bundle_of_checkpoint(folder, device)
