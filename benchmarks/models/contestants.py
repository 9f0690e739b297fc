"""Compared models: `base`, the published model and the other baselines, at sizes that two CPU cores can train.

`small` is `base` at reduced width; the widths of the others are reduced accordingly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from benchmarks.models.survey import rows
from mmae.config import RunConfig
from mmae.model.batch import Batch
from mmae.recipes import recipe

PAIRED = 0.1  # fraction of the images with spectrum and redshift in the sparse survey
SPARSE_SEED = 7

Prepare = Callable[[Batch], Batch]


@dataclass(frozen=True)
class Contestant:
    """A configuration and its training set.

    Attributes:
        seeds: number of runs, with seeds 0, 1, ...
        prepare: maps the survey's training split to the training set.
    """

    config: RunConfig
    seeds: int = 1
    prepare: Prepare = lambda batch: batch


def baselines() -> dict[str, Contestant]:
    """The models of the main table."""
    return {
        "base": Contestant(recipe("small"), seeds=3),
        "paper": Contestant(_paper(), seeds=3),
        "cnn": Contestant(_cnn(), seeds=3),
        "magnitudes": Contestant(recipe("magnitudes")),
        "image-only": Contestant(recipe("image-only")),
        "contrastive": Contestant(recipe("contrastive")),
    }


def _paper() -> RunConfig:
    """The published model with the width of `small` (96), decoders reduced accordingly, and a batch of 64.

    Three times the published learning rate, for the small number of steps; with ten times, one of two seeds did not
    learn.
    """
    run = recipe("paper")
    return replace(
        run,
        model=replace(run.model, width=96, hidden=(192, 96)),
        stream=replace(run.stream, batch_size=64),
        optim=replace(run.optim, learning_rate=3e-4, final_learning_rate=3e-4),
    )


def _cnn() -> RunConfig:
    run = recipe("cnn")
    return replace(run, model=replace(run.model, width=16))


def sparse() -> dict[str, Contestant]:
    """Surveys in which one image in ten has a spectrum and a redshift: trained on all images, and on that tenth alone.

    An epoch of the former draws equally many galaxies with and without a redshift.
    """
    base = recipe("small")
    half = replace(base, stream=replace(base.stream, unlabelled=PAIRED / (1 - PAIRED)))
    return {
        "base, 10% paired": Contestant(half, seeds=2, prepare=mostly_images),
        "base, the paired 10% alone": Contestant(base, seeds=2, prepare=paired_alone),
    }


def _is_paired(n_galaxies: int) -> np.ndarray:
    return np.random.default_rng(SPARSE_SEED).random(n_galaxies) < PAIRED


def mostly_images(train: Batch) -> Batch:
    """The training split, with spectra and redshifts removed from all but the paired galaxies."""
    image_only_N = torch.from_numpy(~_is_paired(len(train)))
    spectra = {name: train.values[name].masked_fill(image_only_N[:, None], 0.0) for name in ("flux", "ivar")}
    return replace(
        train,
        values=train.values | spectra,
        present=train.present | {"spectrum": train.present["spectrum"] & ~image_only_N},
        redshift_B=train.redshift_B.masked_fill(image_only_N, 0.0),
        redshift_known_B=train.redshift_known_B & ~image_only_N,
    )


def paired_alone(train: Batch) -> Batch:
    """The paired galaxies of the training split only."""
    return rows(train, np.flatnonzero(_is_paired(len(train))))


def ablations() -> dict[str, Contestant]:
    """`base` with one change each."""
    base = recipe("small")

    def model(**values) -> RunConfig:
        return replace(base, model=replace(base.model, **values))

    def modality(name: str, **values) -> RunConfig:
        modalities = base.model.modalities
        return model(modalities=replace(modalities, **{name: replace(getattr(modalities, name), **values)}))

    def masks(**values) -> RunConfig:
        return replace(base, masks=replace(base.masks, **values))

    def optim(**values) -> RunConfig:
        return replace(base, optim=replace(base.optim, **values))

    changed = {
        "base": base,
        "no lines": modality("spectrum", lines=replace(base.model.modalities.spectrum.lines, use=False)),
        "spectrum dropped per batch": masks(drop_unit="batch"),
        "one mask ratio, 0.75": masks(image_ratio=(0.75, 0.75), spectrum_ratio=(0.75, 0.75)),
        "no EMA of the weights": optim(ema_decay=0.0),
        "no augmentation": optim(augment=False),
        "AdamW for all weights": optim(muon_learning_rate=0.0),
        "no warm-up, constant rate": optim(warmup_steps=0, final_learning_rate=base.optim.learning_rate),
        "all galaxies masked as well": replace(base, masked_share=1.0),
        "one view": replace(base, redshift_masks=None),
        "patches decoded one by one": modality("image", mixing=0),
        "no reconstruction": model(
            modalities=replace(
                base.model.modalities,
                image=replace(base.model.modalities.image, weight=0.0),
                spectrum=replace(base.model.modalities.spectrum, weight=0.0),
            )
        ),
        "no fine redshift bins": model(redshift=replace(base.model.redshift, refinement=1)),
        "image patch 16": modality("image", patch=16),
        "spectrum patch 256": modality("spectrum", patch=256),
        "feed-forward x4": model(mlp_ratio=4.0),
        "depth 1": model(depth=1),
        "depth 4": model(depth=4),
    }
    return {name: Contestant(config) for name, config in changed.items()}


SETS = {"baselines": baselines, "sparse": sparse, "ablations": ablations}
