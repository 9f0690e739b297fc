"""The model of a prediction job: a bundle, or a run. Each process loads it from its folder."""

from __future__ import annotations

from pathlib import Path

from mmae.bundle.bundle import Bundle
from mmae.bundle.find import is_bundle
from mmae.bundle.load import load_bundle
from mmae.bundle.write import bundle_of_checkpoint
from mmae.inference.find_run import find_run
from mmae.tracking.runs import tracking_uri


def find_model(model: str, home: Path) -> Path:
    """The folder of a bundle, or the checkpoint folder of a run.

    Args:
        model: folder of a bundle, name of a run, MLflow run id, or folder of a run or checkpoint.
        home: folder of runs and studies.

    Raises:
        InputError: there is neither.
    """
    folder = Path(model).expanduser()
    return folder.resolve() if is_bundle(folder) else find_run(model, home, tracking_uri(home)).checkpoint


def load_any(folder: Path, device: str = "cpu") -> Bundle:
    """The model of a bundle or of a checkpoint folder.

    Raises:
        InputError: the folder has none, or a damaged one.
    """
    return load_bundle(folder, device) if is_bundle(folder) else bundle_of_checkpoint(folder, device)
