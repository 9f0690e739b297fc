"""Write a bundle from the checkpoint of a run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import mmae
from mmae.bundle.bundle import Bundle
from mmae.bundle.card import model_card
from mmae.bundle.config import OTHER
from mmae.bundle.facts import read_facts
from mmae.bundle.files import CARD, CONFIG, ROWS, WEIGHTS, Description, sha256
from mmae.bundle.find import is_bundle
from mmae.core.errors import InputError
from mmae.core.files import partial_path
from mmae.inference import checkpoint as files
from mmae.inference.checkpoint import load_model
from mmae.inference.flags import FILE as FLAGS
from mmae.inference.flags import load_flags
from mmae.metrics.redshift import ScoreTable
from mmae.survey.leaks import TRAINING_ROWS


def bundle_of_checkpoint(checkpoint: Path, device: str = "cpu") -> Bundle:
    """The model of a checkpoint as a bundle, without writing one.

    Raises:
        InputError: the folder has no checkpoint, or a damaged one.
    """
    model, config = load_model(checkpoint, device)
    if not model.spec.bands:
        raise InputError(
            f"{checkpoint}: written by mmae 0.1, which did not record bands, pixel scale and zero point: its input "
            f"cannot be checked. Train the model again."
        )
    limits = load_flags(checkpoint)
    flags_hash = None if limits is None else sha256(checkpoint / FLAGS)
    weights_hash = sha256(checkpoint / files.WEIGHTS)
    description = Description(mmae.__version__, weights_hash, config.model, model.spec, {}, flags_hash)
    return Bundle(model, description, limits)


def write_bundle(checkpoint: Path, out: Path, name: str, scores: ScoreTable | None, licence: str = OTHER) -> Path:
    """Write a bundle, whole or not at all; a bundle that is there already is replaced.

    Args:
        out: its folder.
        name: of the model.
        scores: of the test split; None: not scored.
        licence: of the model, an identifier of Hugging Face.

    Raises:
        InputError: the folder has no checkpoint, or a damaged one; `out` is a folder of something else.
    """
    if out.exists() and not is_bundle(out) and any(out.iterdir()):
        raise InputError(f"{out}: this folder has other files than those of a bundle. Choose another --out.")
    of_run = bundle_of_checkpoint(checkpoint).description
    facts = read_facts(checkpoint, name, scores)
    description = replace(of_run, training=facts.plain())
    unfinished = partial_path(out)
    unfinished.mkdir(parents=True)
    shutil.copyfile(checkpoint / files.WEIGHTS, unfinished / WEIGHTS)
    if description.flags_sha256 is not None:
        shutil.copyfile(checkpoint / FLAGS, unfinished / FLAGS)
    if (checkpoint / TRAINING_ROWS).exists():
        shutil.copyfile(checkpoint / TRAINING_ROWS, unfinished / ROWS)
    (unfinished / CONFIG).write_text(description.to_json())
    (unfinished / CARD).write_text(model_card(facts, description, licence))
    if out.exists():
        shutil.rmtree(out)
    unfinished.rename(out)
    return out
