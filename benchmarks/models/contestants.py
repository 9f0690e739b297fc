"""Who is compared: `base`, the published model and the other baselines, all at sizes that two CPU cores can train.

`small` is `base` at reduced width; the others are reduced to match, and keep what makes them what they are.
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

PAIRED = 0.1  # share of the images that keep spectrum and redshift in the sparse survey
SPARSE_SEED = 7

Prepare = Callable[[Batch], Batch]


@dataclass(frozen=True)
class Contestant:
    """A configuration, and what it is trained on.

    Attributes:
        seeds: how often it is trained.
        prepare: makes its training set of the survey's.
    """

    config: RunConfig
    seeds: int = 1
    prepare: Prepare = lambda batch: batch


def baselines() -> dict[str, Contestant]:
    """The table of all models."""
    return {
        "base": Contestant(recipe("small"), seeds=3),
        "paper": Contestant(_paper(), seeds=3),
        "cnn": Contestant(_cnn(), seeds=3),
        "magnitudes": Contestant(recipe("magnitudes")),
        "image-only": Contestant(recipe("image-only")),
        "contrastive": Contestant(recipe("contrastive")),
    }


def _paper() -> RunConfig:
    """A width of 96 like that of `small`, decoders reduced alike; a batch of 64 and three times its learning rate, without
    which it would hardly move in so few steps (with ten times, one of two seeds learned nothing)."""
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
    """Images of which one in ten has a spectrum and a redshift, and those few alone. An epoch of the former draws as many
    without as with a redshift: the budget is a few epochs of all images."""
    base = recipe("small")
    half = replace(base, stream=replace(base.stream, unlabelled=PAIRED / (1 - PAIRED)))
    return {
        "base, 10% paired": Contestant(half, seeds=2, prepare=mostly_images),
        "base, the paired 10% alone": Contestant(base, seeds=2, prepare=paired_alone),
    }


def _is_paired(n_galaxies: int) -> np.ndarray:
    return np.random.default_rng(SPARSE_SEED).random(n_galaxies) < PAIRED


def mostly_images(train: Batch) -> Batch:
    """The training set with spectra and redshifts taken from all but a few."""
    images_alone_N = torch.from_numpy(~_is_paired(len(train)))
    taken = {name: train.values[name].masked_fill(images_alone_N[:, None], 0.0) for name in ("flux", "ivar")}
    return replace(
        train,
        values=train.values | taken,
        present=train.present | {"spectrum": train.present["spectrum"] & ~images_alone_N},
        redshift_B=train.redshift_B.masked_fill(images_alone_N, 0.0),
        redshift_known_B=train.redshift_known_B & ~images_alone_N,
    )


def paired_alone(train: Batch) -> Batch:
    """The few alone."""
    return rows(train, np.flatnonzero(_is_paired(len(train))))


def ablations() -> dict[str, Contestant]:
    """`base` with one thing changed at a time."""
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
        "whole batches lose the spectrum": masks(drop_unit="batch"),
        "one mask ratio, 0.75": masks(image_ratio=(0.75, 0.75), spectrum_ratio=(0.75, 0.75), whole_image=0.0),
        "no average of weights": optim(ema_decay=0.0),
        "no turned images": optim(augment=False),
        "no warm-up, constant rate": optim(warmup_steps=0, final_learning_rate=base.optim.learning_rate),
        "all are reconstructed": model(reconstructed=1.0),
        "no reconstruction": model(
            modalities=replace(
                base.model.modalities,
                image=replace(base.model.modalities.image, weight=0.0),
                spectrum=replace(base.model.modalities.spectrum, weight=0.0),
            )
        ),
        "bins as coarse as the head's": model(redshift=replace(base.model.redshift, refinement=1)),
        "image patch 8": modality("image", patch=8),
        "spectrum patch 256": modality("spectrum", patch=256),
        "feed-forward x4": model(mlp_ratio=4.0),
        "depth 1": model(depth=1),
        "depth 4": model(depth=4),
    }
    return {name: Contestant(config) for name, config in changed.items()}


SETS = {"baselines": baselines, "sparse": sparse, "ablations": ablations}
