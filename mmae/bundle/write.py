"""Write a bundle from the checkpoint of a run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import mmae
from mmae.bundle.bundle import Bundle
from mmae.bundle.files import CARD, CONFIG, ROWS, WEIGHTS, Description, sha256
from mmae.core.files import partial_path
from mmae.inference import checkpoint as files
from mmae.inference.checkpoint import load_model
from mmae.survey.leaks import TRAINING_ROWS


def bundle_of_checkpoint(checkpoint: Path, device: str = "cpu") -> Bundle:
    """The model of a checkpoint as a bundle, without writing one.

    Raises:
        InputError: the folder has no checkpoint, or a damaged one.
    """
    model, config = load_model(checkpoint, device)
    weights = sha256(checkpoint / files.WEIGHTS)
    return Bundle(model, Description(mmae.__version__, weights, config.model, model.spec, {}))


def write_bundle(checkpoint: Path, out: Path, training: dict[str, Any], card: str) -> Path:
    """Write a bundle; a bundle that is there already is replaced as a whole.

    Args:
        training: facts of the training for config.json, as plain values.
        card: text of README.md.

    Raises:
        InputError: the folder has no checkpoint, or a damaged one.
    """
    model, config = load_model(checkpoint)
    unfinished = partial_path(out)
    unfinished.mkdir(parents=True)
    shutil.copyfile(checkpoint / files.WEIGHTS, unfinished / WEIGHTS)
    if (checkpoint / TRAINING_ROWS).exists():
        shutil.copyfile(checkpoint / TRAINING_ROWS, unfinished / ROWS)
    description = Description(mmae.__version__, sha256(unfinished / WEIGHTS), config.model, model.spec, training)
    (unfinished / CONFIG).write_text(description.to_json())
    (unfinished / CARD).write_text(card)
    if out.exists():
        shutil.rmtree(out)
    unfinished.rename(out)
    return out
