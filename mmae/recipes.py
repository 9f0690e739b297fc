"""Named runs. Each says its command, its cost and the score to expect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mmae.config import OptimConfig, RunConfig, ValidationConfig
from mmae.core.errors import InputError
from mmae.loader.config import StreamConfig
from mmae.model.baselines.cnn import CNNConfig
from mmae.model.baselines.contrastive import ContrastiveConfig
from mmae.model.masking import MaskConfig
from mmae.model.mmae import MMAEConfig
from mmae.model.modalities import ModalitiesConfig
from mmae.model.modalities.image import ImageConfig
from mmae.model.modalities.magnitudes import MagnitudesConfig
from mmae.model.modalities.spectrum import SpectrumConfig
from mmae.model.paper import PaperConfig


def small() -> RunConfig:
    """Visible-token encoding and token-wise decoding, for a laptop.

    Command: python ray_jobs/pretrain.py
    Time: about 8 minutes on 2 CPU cores, 17 epochs of the 6,000 embedded galaxies.
    Score: see the README; the sizes were chosen by wall clock on those two cores, where
    16-pixel patches and a batch of 64 beat finer patches and larger batches.
    """
    return RunConfig(
        recipe="small",
        model=MMAEConfig(
            modalities=ModalitiesConfig(
                image=ImageConfig(patch=16, weight=0.3), spectrum=SpectrumConfig(patch=32, weight=0.3)
            ),
            width=96,
            depth=2,
            heads=3,
            mlp_ratio=2.0,
            decoder_width=72,
            reconstructed=0.25,
        ),
        # Most of the time goes to what takes longest to learn: redshift from a whole image.
        masks=MaskConfig(
            image_ratio=(0.0, 0.75), spectrum_ratio=(0.5, 0.9), drop_image=0.05, drop_spectrum=0.9, whole_image=0.85
        ),
        stream=StreamConfig(batch_size=64),
        optim=OptimConfig(steps=1200, learning_rate=1e-3),
    )


def base() -> RunConfig:
    """The model of `small` for a survey and a GPU: wider, deeper, and with finer patches.

    Command: python ray_jobs/pretrain.py --recipe base --survey YOUR_SURVEY
    Time: a GPU is needed, or several (--compute.workers).
    Score: docs/ablations.md has what the same design reaches at the sizes of `small`.

    The number of steps is that of 50 epochs of the paper's 94,173 training galaxies.
    """
    run = small()
    modalities = run.model.modalities
    modalities = replace(modalities, image=replace(modalities.image, patch=8, stem_width=32))
    return replace(
        run,
        recipe="base",
        model=replace(run.model, modalities=modalities, width=384, depth=6, heads=6, decoder_width=192),
        stream=replace(run.stream, batch_size=256),
        optim=replace(run.optim, steps=18_400, warmup_steps=500),
        validation=ValidationConfig(every=368),
    )


def paper() -> RunConfig:
    """The published model, loss and optimiser (arXiv:2510.22527): the baseline.

    Command: python ray_jobs/pretrain.py --recipe paper --survey YOUR_SURVEY
    Time: a GPU is needed; two CPU cores do 16 galaxies/s.
    Score: the paper's, on its data: sigma_NMAD 0.016 at z < 0.4 with a quarter of the image
    masked, 0.025 with nothing masked.

    Batch 256, AdamW 1e-4, weight decay 0.01, clip 1.0, 75% of both modalities masked, the
    spectrum dropped for half of the batches. The number of steps is ours: 50 epochs
    of its 94,173 training galaxies.
    """
    return RunConfig(
        recipe="paper",
        model=PaperConfig(),
        masks=MaskConfig(drop_unit="batch"),
        stream=StreamConfig(batch_size=256),
        optim=OptimConfig(
            steps=18_400,
            learning_rate=1e-4,
            final_learning_rate=1e-4,
            warmup_steps=0,
            weight_decay=0.01,
            clip=1.0,
            ema_decay=0.0,
            augment=False,
        ),
        validation=ValidationConfig(every=368),
    )


def cnn() -> RunConfig:
    """Redshift from the image by an Inception network: a baseline.

    Command: python ray_jobs/pretrain.py --recipe cnn
    Time: a GPU for surveys; minutes on 2 CPU cores for the embedded one.
    Score: published CNNs of this kind reach sigma_NMAD 0.012 at z < 0.4 on HSC images.
    """
    return RunConfig(
        recipe="cnn",
        model=CNNConfig(),
        masks=MaskConfig(image_ratio=(0.0, 0.0), spectrum_ratio=(0.0, 0.0), drop_image=0.0, drop_spectrum=0.0),
        stream=StreamConfig(batch_size=64),
        optim=OptimConfig(steps=800),
    )


def magnitudes() -> RunConfig:
    """Redshift from catalogue magnitudes, by the encoder of `small`: a baseline.

    Command: python ray_jobs/pretrain.py --recipe magnitudes
    Time: a minute on 2 CPU cores, most of it reading.
    """
    base = small()
    modalities = ModalitiesConfig(
        image=ImageConfig(use=False), spectrum=SpectrumConfig(use=False), magnitudes=MagnitudesConfig(use=True)
    )
    return replace(
        base,
        recipe="magnitudes",
        model=replace(base.model, modalities=modalities),
        masks=MaskConfig(magnitudes_ratio=(0.0, 0.5)),
    )


def image_only() -> RunConfig:
    """The masked autoencoder of `small` without spectra: a baseline.

    Command: python ray_jobs/pretrain.py --recipe image-only
    Time: minutes on 2 CPU cores.
    """
    base = small()
    modalities = replace(base.model.modalities, spectrum=SpectrumConfig(use=False))
    return replace(base, recipe="image-only", model=replace(base.model, modalities=modalities))


def contrastive() -> RunConfig:
    """Image and spectrum brought together by contrast, redshift by a linear layer (the AstroCLIP kind): a baseline.

    Command: python ray_jobs/pretrain.py --recipe contrastive
    Time: minutes on 2 CPU cores.
    """
    base = small()
    return replace(
        base,
        recipe="contrastive",
        model=ContrastiveConfig(
            image=base.model.modalities.image,
            spectrum=base.model.modalities.spectrum,
            width=base.model.width,
            depth=base.model.depth,
            heads=base.model.heads,
            mlp_ratio=base.model.mlp_ratio,
        ),
        masks=MaskConfig(image_ratio=(0.0, 0.25), spectrum_ratio=(0.0, 0.25), drop_image=0.0, drop_spectrum=0.0),
    )


RECIPES: dict[str, Callable[[], RunConfig]] = {
    "small": small,
    "base": base,
    "paper": paper,
    "cnn": cnn,
    "magnitudes": magnitudes,
    "image-only": image_only,
    "contrastive": contrastive,
}


def recipe(name: str) -> RunConfig:
    """The configuration of a named recipe.

    Raises:
        InputError: there is no such recipe.
    """
    if name not in RECIPES:
        raise InputError(f"--recipe {name}: no such recipe. There are: {', '.join(RECIPES)}.")
    return RECIPES[name]()
