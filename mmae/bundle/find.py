"""Whether a folder is a bundle, and not that of a run or of anything else."""

from __future__ import annotations

from pathlib import Path

from mmae.bundle.files import CONFIG, WEIGHTS


def is_bundle(folder: Path) -> bool:
    """Whether a folder has the files of a bundle. Checkpoints have no config.json."""
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()
